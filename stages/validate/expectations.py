"""Great Expectations: runs checks on tables and writes the results as pages. It takes seconds to import."""

import html
import re
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import great_expectations as gx
import pandas as pd
from great_expectations.core.run_identifier import RunIdentifier
from great_expectations.data_context.store.store import DataDocsSiteConfigTypedDict
from great_expectations.data_context.types.base import ProgressBarsConfig

from stages.lib.core.files import atomic_directory
from stages.validate.checks import FINDING_COLUMNS, Check, ValidateParams, severity_of
from stages.validate.columns import Dataset

# What Data Docs otherwise take from the network: a layout, tables with lines, signs in the place of icons, and that
# what they fold away ("Batch Spec" and the like, which say nothing of a table in memory) is not shown.
STYLE = """<style>
:root { color-scheme: light dark; --ink: #222; --page: #fff; --line: #bbb; --found: #fdeeda; --link: #1c5bb0;
        --good: #17692c; --bad: #b00020; }
@media (prefers-color-scheme: dark) {
  :root { --ink: #e3e9f0; --page: #12181f; --line: #45525f; --found: #3a2f14; --link: #8bbcff;
          --good: #7bd88f; --bad: #ff8a8a; }
}
body { font: 15px/1.45 sans-serif; color: var(--ink); background: var(--page); margin: 1.5em; }
a, a:visited { color: var(--link); } th { overflow-wrap: normal; } h1 { font-size: 1.5em; }
h6, .h6 { font-size: 1em; font-weight: bold; }
table { border-collapse: collapse; margin: .6em 0; } td, th { border: 1px solid var(--line); padding: .3em .6em; }
td, th { text-align: left; vertical-align: top; } tr.found { background: var(--found); }
.row { display: flex; flex-wrap: wrap; } .col-md-2 { flex: 0 0 15em; } .col-md-10 { flex: 1 1 30em; min-width: 0; }
.row .row, .ge-section .row { display: block; } nav ol { list-style: none; padding: 0; }
.card:has(input), .card-body.collapse { display: none; }
.fa-check-circle::before { content: "\\2713"; color: var(--good); }
.fa-times::before { content: "\\2717"; color: var(--bad); }
.fa-exclamation-triangle::before { content: "!"; color: var(--bad); } .sticky { position: static; }
@media (max-width: 40em) {
  body { margin: .8em; overflow-wrap: anywhere; } .col-md-2, .col-md-10 { flex: 1 1 100%; }
  .checks tr { display: grid; grid-template-columns: 2fr 1fr 1fr; } .checks td, .checks th { border-width: 0 0 1px; }
  .checks td:nth-child(-n + 3) { border: 0; } .checks td:last-child, .checks th:last-child { grid-column: 1 / -1; }
}
</style>"""
RESULT_FORMAT = {
    "result_format": "COMPLETE",
    "unexpected_index_column_names": ["row", "subject"],
    "return_unexpected_index_query": False,
}
GX_SEVERITY = {"stop": "critical", "reject": "warning", "warn": "info"}


class Expectations:
    """Great Expectations in memory: runs checks on tables and keeps the results for the Data Docs."""

    def __init__(self, params: ValidateParams, dataset: Dataset) -> None:
        """Open a context that lives in memory; limits come from `params`, classes and folds from `dataset`."""
        self._params, self._dataset = params, dataset
        self._context = gx.get_context(mode="ephemeral")
        self._context.variables.progress_bars = ProgressBarsConfig(globally=False, metric_calculations=False)
        self._results: dict[str, dict[str, tuple[int, str, str]]] = {}
        self._source = self._context.data_sources.add_pandas("urban-ear")

    def run(self, name: str, table: pd.DataFrame, checks: Sequence[Check]) -> pd.DataFrame:
        """Run `checks` on `table`, whose column `subject` says what each row is about.

        Returns one row per finding: `check`, `severity`, `subject`, `detail`, with the index of the row of `table`, in
        the order of the table, then of the checks. A check that cannot be computed is a bug and raises RuntimeError.
        """
        asset = self._source.add_dataframe_asset(name)
        definition = gx.ValidationDefinition(
            name=name,
            data=asset.add_batch_definition_whole_dataframe(name),
            suite=self._context.suites.add(
                gx.ExpectationSuite(name=name, expectations=[self._expectation(check) for check in checks])
            ),
        )
        outcome = self._context.validation_definitions.add(definition).run(
            batch_parameters={"dataframe": table.assign(row=table.index + 1)},
            result_format=RESULT_FORMAT,
            run_id=RunIdentifier(run_name="validate"),
        )
        results = {config.meta["check"]: result for result in outcome.results if (config := result.expectation_config)}
        findings, summary = [], {}
        for order, check in enumerate(checks):
            result = results[check.name]
            if result.exception_info.get("raised_exception", True):
                raise RuntimeError(f"check {check.name}: {result.exception_info}")
            index = [found["row"] - 1 for found in result.result.get("unexpected_index_list", [])]
            rows = table.loc[index].to_dict("records")
            findings += [
                (order, at, check.name, severity_of(check, self._params), row["subject"], check.detail(row))
                for at, row in zip(index, rows, strict=True)
            ]
            summary[check.name] = (len(index), severity_of(check, self._params), check.why)
        self._results[name] = summary
        found = pd.DataFrame(findings, columns=["order", "at", *FINDING_COLUMNS])
        return found.sort_values(["at", "order"]).set_index("at")[FINDING_COLUMNS]

    def _expectation(self, check: Check) -> Any:
        kind, arguments = check.expectation(self._params, self._dataset)
        severity = severity_of(check, self._params)
        return getattr(gx.expectations, kind)(
            **arguments,
            meta={"check": check.name, "severity": severity},
            notes=f"**{check.name}** ({severity}): {check.why}",
            severity=GX_SEVERITY[severity],
        )

    def write_docs(self, folder: Path, title: str, summary: Sequence[str]) -> None:
        """Write the results so far as Data Docs, pages to open without a network.

        `index.html` is the first; it begins with `title` and the lines of `summary`.
        """
        with atomic_directory(folder) as tmp_path:
            site: DataDocsSiteConfigTypedDict = {
                "class_name": "SiteBuilder",
                "store_backend": {
                    "class_name": "TupleFilesystemStoreBackend",
                    "base_directory": str(tmp_path.resolve()),
                },
                "site_index_builder": {"class_name": "DefaultSiteIndexBuilder"},
            }
            self._context.add_data_docs_site("pages", site)
            self._context.build_data_docs(site_names=["pages"])
            shutil.rmtree(tmp_path / "static")
            for page in tmp_path.rglob("*.html"):
                page.write_text(_offline(page.read_text(encoding="utf-8")), encoding="utf-8")
            (tmp_path / "index.html").write_text(self._index(tmp_path, title, summary), encoding="utf-8")

    def _index(self, folder: Path, title: str, summary: Sequence[str]) -> str:
        """The first page: that of Data Docs fills its table with scripts from the network."""
        rows = []
        for name, results in self._results.items():
            page = next((folder / "validations" / name).rglob("*.html")).relative_to(folder).as_posix()
            rows.append(f'<tr><th colspan="4"><a href="{page}">{name}</a></th></tr>')
            for check, (n_findings, severity, why) in results.items():
                cells = (check, severity, str(n_findings), why)
                mark = ' class="found"' if n_findings else ""
                rows.append(f"<tr{mark}>" + "".join(f"<td>{html.escape(cell)}</td>" for cell in cells) + "</tr>")
        head = "".join(f"<th>{cell}</th>" for cell in ("check", "severity", "findings", "what is expected, and why"))
        return (
            f'<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">'
            f'<meta name="viewport" content="width=device-width, initial-scale=1"><title>{html.escape(title)}</title>'
            f"{STYLE}</head><body><h1>{html.escape(title)}</h1>\n"
            + "\n".join(f"<p>{html.escape(line)}</p>" for line in summary)
            + f'\n<table class="checks"><tr>{head}</tr>\n'
            + "\n".join(rows)
            + "</table></body></html>\n"
        )


def _offline(page: str) -> str:
    """A page of Data Docs without what it would fetch: its scripts, style sheets and logo, and without noise."""
    page = re.sub(r"<script\b.*?</script>|<footer\b.*?</footer>|<link\b[^>]*>|<img\b[^>]*>", "", page, flags=re.DOTALL)
    page = re.sub(r'<a\b[^>]*data-toggle="collapse".*?</a>', "", page, flags=re.DOTALL)
    page = re.sub(r"url\('https?:[^)]*\)", "none", page)
    page = page.replace("Data asset: None<br>", "")  # a table in memory has no name
    return page.replace("</head>", f"{STYLE}</head>", 1)
