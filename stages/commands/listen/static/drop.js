// Files that are dropped, anywhere on the page.

// `onFiles` gets those that were dropped together.
export function awaitFiles(onFiles) {
  document.addEventListener("dragover", (event) => {
    event.preventDefault();
    document.body.classList.add("dropping");
  });
  document.addEventListener("dragleave", ({ relatedTarget }) => {
    if (!relatedTarget) document.body.classList.remove("dropping");
  });
  document.addEventListener("drop", (event) => {
    event.preventDefault();
    document.body.classList.remove("dropping");
    if (event.dataTransfer.files.length) onFiles([...event.dataTransfer.files]);
  });
}
