"""The pages that people read: what they link to is there, and what is said in two places is the same."""

import re
import subprocess
import tomllib

import pytest
import yaml

from helpers.repository import ROOT

PAGES = sorted(
    path.relative_to(ROOT).as_posix()
    for pattern in ("*.md", "docs/*.md", ".github/*.md")
    for path in ROOT.glob(pattern)
)
ELSEWHERE = ("http://", "https://", "mailto:")


def prose(page: str) -> str:
    """A page without its code, in which brackets are not links."""
    text = re.sub(r"^(`{3,}|~{3,}).*?^\1", "", (ROOT / page).read_text(), flags=re.DOTALL | re.MULTILINE)
    return re.sub(r"(`+)(?!`).+?(?<!`)\1(?!`)", "code", text)


def links(page: str) -> list[str]:
    """What a page links to within the repository, pictures included."""
    text = prose(page)
    found = re.findall(r"\]\(\s*<?([^)\s>]+)>?(?:\s+\"[^\"]*\")?\s*\)", text)
    found += re.findall(r"^\[[^\]]+\]:\s*(\S+)", text, flags=re.MULTILINE)
    return [link for link in found if not link.startswith(ELSEWHERE)]


def anchors(page: str) -> set[str]:
    """The anchors that GitHub gives the headings of a page: lower case, hyphens, no punctuation, numbered repeats."""
    text = re.sub(r"^(`{3,}|~{3,}).*?^\1", "", (ROOT / page).read_text(), flags=re.DOTALL | re.MULTILINE)
    seen: dict[str, int] = {}
    found = set(re.findall(r"<a (?:id|name)=\"([^\"]+)\"", text))
    for heading in re.findall(r"^#{1,6}\s+(.+?)\s*#*$", text, flags=re.MULTILINE):
        plain = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading)
        slug = re.sub(r"[^\w\- ]", "", plain.lower()).replace(" ", "-")
        found.add(f"{slug}-{seen[slug]}" if slug in seen else slug)
        seen[slug] = seen.get(slug, 0) + 1
    return found


def broken(page: str, link: str) -> str | None:
    """What is wrong with a link of a page, or None."""
    name, _, anchor = link.partition("#")
    target = ((ROOT / page).parent / name).resolve() if name else ROOT / page
    if not target.is_relative_to(ROOT):
        return f"{link}: leads out of the repository"
    if not target.exists():
        return f"{link}: no such file"
    tracked = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "--", str(target)]
    if not subprocess.run(tracked, cwd=ROOT, capture_output=True, check=True).stdout:
        return f"{link}: not in Git, so not in a clone"
    if anchor and target.suffix == ".md" and anchor not in anchors(target.relative_to(ROOT).as_posix()):
        return f"{link}: no such heading"
    return None


@pytest.mark.parametrize("page", PAGES)
def test_links_lead_somewhere(page):
    assert not [problem for link in links(page) if (problem := broken(page, link))]


def test_links_are_found():
    """The pages have links, so that a pattern that finds none is not taken for pages without a problem."""
    assert len(links("README.md")) >= 8
    assert any(link.startswith("../") for page in PAGES for link in links(page))


BROKEN = {
    "a file that is not there": ("docs/no_such_page.md", "no such file"),
    "a heading that is not there": ("docs/training.md#no-such-heading", "no such heading"),
    "a heading of the page that is not there": ("#no-such-heading", "no such heading"),
    "a file outside": ("../elsewhere.md", "leads out of the repository"),
    "what Git does not hold": (".git/HEAD", "not in Git"),
    "a file": ("LICENSE", None),
    "a heading": ("docs/training.md#what-each-part-is-worth", None),
    "a heading with code": ("docs/training.md#networks-trainmodel", None),
}


@pytest.mark.parametrize("case", BROKEN)
def test_a_broken_link_is_distinguished_from_a_good_one(case):
    link, problem = BROKEN[case]
    found = broken("README.md", link)
    assert found is None if problem is None else problem in found


@pytest.mark.parametrize("page", [page for page in PAGES if page.startswith("docs/")])
def test_every_page_is_reached_from_the_first_ones(page):
    reached, left = set(), ["README.md", "CONTRIBUTING.md"]
    while left:
        here = left.pop()
        if here in reached or not (ROOT / here).is_file():
            continue
        reached.add(here)
        names = {link.partition("#")[0] for link in links(here)} - {""}
        paths = {((ROOT / here).parent / name).resolve() for name in names if name.endswith(".md")}
        left += [path.relative_to(ROOT).as_posix() for path in paths if path.is_file() and path.is_relative_to(ROOT)]
    assert page in reached


@pytest.mark.parametrize("page", ["listen", "export"])
def test_what_the_lock_has_is_not_to_be_installed_first(page):
    """Without its versions pip would bring others."""
    text = (ROOT / f"docs/{page}.md").read_text()
    assert "pip install" not in text.split("```")[1]
    names = re.search(r"The packages are in\sthe lock; elsewhere `pip install ([^`]+)`", text)[1].split()
    locked = re.findall(r"^([\w-]+)==", (ROOT / "requirements.txt").read_text(), flags=re.MULTILINE)
    assert set(names) <= set(locked)


def test_the_form_for_problems_asks_for_what_contributing_says():
    """Its fields are those of GitHub's schema for forms: a type, an id that occurs once, a label."""
    form = yaml.safe_load((ROOT / ".github/ISSUE_TEMPLATE/problem.yml").read_text())
    assert form["name"]
    assert form["description"]
    fields = {field["id"]: field for field in form["body"]}
    assert len(fields) == len(form["body"])
    assert {field["type"] for field in form["body"]} <= {"textarea", "input"}
    assert all(field["attributes"]["label"] for field in form["body"])
    for name in ("command", "output", "commit"):
        assert fields[name]["validations"]["required"] is True
        assert name in (ROOT / "CONTRIBUTING.md").read_text().partition("## ")[0]


def test_the_citation_agrees_with_the_project():
    """`cffconvert --validate` knows the whole schema; it wants an old jsonschema and so is no dependency."""
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert {"cff-version", "message", "title", "authors"} <= set(citation)
    assert (citation["version"], citation["license"]) == (project["version"], project["license"])
    assert citation["authors"] == [{"name": "The urban-ear authors"}]
    for reference in citation["references"]:
        assert {"type", "title", "authors", "year"} <= set(reference)
    cited = " ".join(name["family-names"] for reference in citation["references"] for name in reference["authors"])
    assert all(name in cited for name in ("Salamon", "Eghbal-zadeh", "Tokozume", "Koutini"))
