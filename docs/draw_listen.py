"""Make the picture of docs/listen.md: python -m docs.draw_listen, in a workspace with the synthetic sample's run.

The page of the listen command in Chromium, whose microphone plays the recording of `docs.draw_predict`. Needs Chromium
and its driver (Debian's chromium and chromium-driver) and selenium.
"""

import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import soundfile
from selenium import webdriver
from selenium.webdriver.common.by import By
from selenium.webdriver.support.wait import WebDriverWait

from docs.draw_predict import FOLD, SR, place_clips

DOCS = Path(__file__).parent
WIDTH, HEIGHT = 1280, 800
DRIVER, BROWSER = "chromedriver", "chromium"
PATIENCE_S = 120  # more than the recording lasts


def main() -> None:
    """Serve, open the page, listen until it has heard drilling, draw."""
    with tempfile.TemporaryDirectory() as folder:
        recording = Path(folder) / "street.wav"
        soundfile.write(recording, place_clips(), SR, subtype="PCM_16")
        with serve("--model", f"fold_{FOLD}") as address, open_browser(recording, WIDTH, HEIGHT) as browser:
            wait = WebDriverWait(browser, PATIENCE_S)
            browser.get(address)
            wait.until(lambda browser: browser.find_elements(By.CSS_SELECTOR, "#choices fieldset"))
            browser.find_element(By.ID, "listen").click()
            wait.until(lambda browser: browser.find_element(By.ID, "sound").text == "Drilling")
            wait.until(lambda browser: "drilling" in browser.find_element(By.ID, "history").text)
            browser.get_screenshot_as_file(str(DOCS / "listen.png"))


@contextmanager
def serve(*options: str) -> Iterator[str]:
    """The address of the listen command for the block of a `with`."""
    command = [sys.executable, "-m", "stages.commands.listen", "--port", "0", *options]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None  # for mypy
        try:
            yield next(found[1] for line in process.stderr if (found := re.search(r"open (\S+)", line)))
        finally:
            process.terminate()


@contextmanager
def open_browser(recording: Path, width: int, height: int, *, dark: bool = False) -> Iterator[webdriver.Chrome]:
    """Chromium with a window of `width` by `height` pixels and a microphone that plays `recording` over and over."""
    driver, program = shutil.which(DRIVER), shutil.which(BROWSER)
    options = webdriver.ChromeOptions()
    options.binary_location = program or BROWSER
    for option in (
        "headless=new",
        "no-sandbox",  # which root, as in a container, cannot have
        "disable-dev-shm-usage",
        "use-fake-ui-for-media-stream",
        "use-fake-device-for-media-stream",
        f"use-file-for-fake-audio-capture={recording}",
    ):
        options.add_argument(f"--{option}")
    browser = webdriver.Chrome(options, webdriver.ChromeService(driver or DRIVER))
    try:
        size = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False}
        browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [scheme]})
        yield browser
    finally:
        browser.quit()


if __name__ == "__main__":
    main()
