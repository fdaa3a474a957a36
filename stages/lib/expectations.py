"""Great Expectations: runs checks on tables and writes the results as pages. It takes seconds to import."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import great_expectations as gx
import pandas as pd

from stages.lib.checks import FINDING_COLUMNS, Check, Dataset, ValidateParams, severity_of
from stages.lib.files import whole_folder

GX_SEVERITY = {"stop": "critical", "reject": "warning", "warn": "info"}


class Expectations:
    """Great Expectations in memory: runs checks on tables and keeps the results for the Data Docs."""

    def __init__(self, params: ValidateParams, dataset: Dataset) -> None:
        """Open a context that lives in memory; limits come from `params`, classes and folds from `dataset`."""
        self._params, self._dataset = params, dataset
        self._context = gx.get_context(mode="ephemeral")
        self._context.variables.progress_bars = {"globally": False, "metric_calculations": False}
        self._source = self._context.data_sources.add_pandas("urban-ear")

    def run(self, name: str, table: pd.DataFrame, checks: Sequence[Check]) -> pd.DataFrame:
        """Run `checks` on `table`, whose column `subject` says what each row is about.

        Returns a row a finding: `check`, `severity`, `subject`, `detail`, with the index of the row of `table`; in the
        order of the table, then of the checks. A check that cannot be computed is a bug and raises RuntimeError.
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
            batch_parameters={"dataframe": table}, result_format="COMPLETE"
        )
        results = {result.expectation_config.meta["check"]: result for result in outcome.results}
        findings = []
        for order, check in enumerate(checks):
            result = results[check.name]
            if result.exception_info.get("raised_exception", True):
                raise RuntimeError(f"check {check.name}: {result.exception_info}")
            index = result.result["unexpected_index_list"]
            rows = table.loc[index].to_dict("records")
            findings += [
                (order, at, check.name, severity_of(check, self._params), row["subject"], check.detail(row))
                for at, row in zip(index, rows, strict=True)
            ]
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

    def write_docs(self, folder: Path) -> None:
        """Write the results so far as Data Docs, pages to open without a network; `index.html` is the first."""
        with whole_folder(folder) as beside:
            backend = {"class_name": "TupleFilesystemStoreBackend", "base_directory": str(beside.resolve())}
            self._context.add_data_docs_site(
                "pages",
                {
                    "class_name": "SiteBuilder",
                    "show_how_to_buttons": False,
                    "store_backend": backend,
                    "site_index_builder": {"class_name": "DefaultSiteIndexBuilder"},
                },
            )
            self._context.build_data_docs(site_names=["pages"])
