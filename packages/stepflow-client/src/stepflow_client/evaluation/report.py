"""Evaluation reports, and trends across several evaluations."""

from __future__ import annotations

import hashlib
import math
import os
from collections.abc import Collection, Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from functools import cached_property, partial
from heapq import nlargest
from itertools import chain
from typing import Any

from .._base.lazy import lazy_module
from .._base.logging import logger
from .._base.suggestions import suggest_or_list
from .._base.text_formatting import short_json
from .._data import arguments
from .._data.secrets import NO_SECRETS, Secrets
from .._data.wire import to_json
from .._stores.atomic_file_writes import write_text
from ..errors import InvalidArgumentError, JournalError
from ..flows.json_schema import is_number
from ..types.model_base import Record, get_data_frame_maker
from . import variant_comparison
from .gates import Gate, GateRules, Limit, describe_needed_cases, evaluate_gates, get_tolerated_change, is_conclusive
from .records import EvaluationItem, LazyItems, ResultColumns, WorstCase
from .report_text import format_change, format_interval, format_number
from .score_columns import Column, Columns
from .scores import read_usage
from .store import EvaluationStore, StoredItems, collect_secrets
from .variant_comparison import FAILED_SCORE, Comparison, EvaluationSummary, ScoreChange, ShownAsTable, SliceScore

# Import the page module lazily, because it imports this module.
_page = lazy_module("stepflow_client.evaluation.page")


class EvaluationReport(ShownAsTable):
    """The results of an evaluation. Scores and times stay in memory; inputs and outputs are read on demand.

    Example:
        ```python
        report = await evaluate(client, "ticket.yaml", "tickets.csv", variants=variants, scores=[exact("category")])
        print(report.summary())
        report.to_html("report.html")
        report.assert_no_regression("now", "v2", "exact.category", tolerance=0.02)
        ```

    Args:
        items: The items. They're iterated over several times.
        name: The evaluation's name.
        variants: The variants' names, starting with the baseline. Defaults to the order of the items.
        baselines: A mapping from each variant to the variant it's compared with. By default, every variant is compared
            with the first one.
        lower_is_better: The names of scores where low values are good.
        timed: The names of scores that measure time. Comparisons keep items of the same run together, because they
            share a queue.
        remarks: Notes about the evaluation, for example on cases that were left out.
    """

    def __init__(
        self,
        items: Iterable[EvaluationItem],
        *,
        name: str = "",
        variants: Iterable[str] = (),
        baselines: Mapping[str, str] | None = None,
        lower_is_better: Iterable[str] = (),
        timed: Iterable[str] = (),
        remarks: Iterable[str] = (),
    ) -> None:
        """Create a report, reading the scores and times of all items."""
        self.name: str = arguments.check_instance(name, "name", str)
        """The evaluation's name, or an empty string."""
        lower = frozenset(arguments.check_texts(lower_is_better, "lower_is_better"))
        self._rules = variant_comparison.ComparisonRules(lower, frozenset(arguments.check_texts(timed, "timed")), {})
        self._remarks = tuple(arguments.check_texts(remarks, "remarks"))
        self._secrets = NO_SECRETS
        self._baselines = None if baselines is None else arguments.check_mapping(baselines, "baselines")
        collection: Any = list(items) if isinstance(items, Iterator) else items
        if not isinstance(collection, Iterable):
            raise arguments.argument_error("items", "a collection of EvaluationItem objects", items)
        self._items: Iterable[EvaluationItem] = collection
        if isinstance(collection, StoredItems):
            results = collection.iter_result_columns()
        else:
            checked = (arguments.check_instance(item, "each of items", EvaluationItem) for item in collection)
            results = map(ResultColumns.from_item, checked)
        self._columns = Columns(results, arguments.check_texts(variants, "variants"))
        self._comparisons: dict[tuple[str, str], variant_comparison.ComparisonWithChanges] = {}

    @classmethod
    def load(cls, folder: str | os.PathLike[str]) -> EvaluationReport:
        """Load the report from an evaluation's folder, i.e. the `journal` passed to `evaluate`.

        Values of secret variables are replaced with `***` in errors and outputs. HTML pages also hide the variables'
        default values and their values in the environment, even in inputs.

        Args:
            folder: The folder.

        Raises:
            JournalError: If the folder contains no evaluation or cannot be read.
        """
        return cls._from_folder(StoredItems(folder, hidden=True))

    @classmethod
    def _from_folder(cls, items: StoredItems, variables: Sequence[Mapping[str, Any]] = ()) -> EvaluationReport:
        """Build a report on a folder's items. Its pages and files hide the folder's secrets.

        Args:
            items: The items.
            variables: The variable values passed to each variant, or an empty sequence if they're unknown.

        Raises:
            JournalError: If the folder contains no evaluation or cannot be read.
        """
        with EvaluationStore(items.folder) as store:
            if store.read_setting("count") is None:
                raise JournalError(f"the evaluation in {items.folder} has not started", hint="run it again")
            secrets = collect_secrets(store.read_setting("flows", []), variables)
            lower, timed = (store.read_setting(name, []) for name in ("lower_is_better", "timed"))
            name, moments = store.read_setting("name", ""), store.read_setting("moments", {})
            variants = list(store.variants)
        report = cls(items, name=name, variants=variants, lower_is_better=lower, timed=timed)
        return report._set_secrets_and_variant_moments(secrets, moments)

    def _set_secrets_and_variant_moments(self, secrets: Secrets, moments: Mapping[str, Hashable]) -> EvaluationReport:
        self._secrets, self._rules = secrets, self._rules._replace(moments=moments)
        return self

    def _make_report_on_other_items(self, moments: Mapping[str, Hashable], **options: Any) -> EvaluationReport:
        """Build a report on other items, using this report's rules and secrets."""
        report = EvaluationReport(lower_is_better=self._rules.lower, timed=self._rules.timed, **options)
        return report._set_secrets_and_variant_moments(self._secrets, moments)

    def __repr__(self) -> str:
        variants = ", ".join(self.variants)
        return f"<EvaluationReport {self.name or 'of an evaluation'}: {len(self._columns.cases)} cases of {variants}>"

    def __iter__(self) -> Iterator[EvaluationItem]:
        """Yield the items."""
        return iter(self._items)

    def with_baseline(self, baseline: EvaluationReport, *, name: str = "baseline") -> EvaluationReport:
        """Combine this evaluation with an earlier one and compare its variants with the earlier variants.

        Each variant is compared with the earlier variant of the same name or, if there is none, with the first earlier
        one. Cases match if they have the same name and input. See the resulting report's `baselines` for the pairs.

        Args:
            baseline: The report on the earlier evaluation.
            name: What to call the earlier variant in the report. If there are several, their names start with this
                name.

        Raises:
            InvalidArgumentError: If the evaluations have no cases in common, or if a variant already has this name.
        """
        arguments.check_instance(baseline, "baseline", EvaluationReport)
        arguments.check_text(name, "name")
        if not self.variants or not baseline.variants:
            raise InvalidArgumentError("an evaluation without items cannot be compared")
        first, *_ = names = baseline.variants
        earlier = {variant: variant if variant in names else first for variant in self.variants}
        used = list(dict.fromkeys(earlier.values()))
        new_names = {variant: name if len(used) == 1 else f"{name} {variant}" for variant in used}
        taken = next((new_name for new_name in new_names.values() if new_name in self.variants), None)
        if taken is not None:
            raise InvalidArgumentError(f"a variant is already named {taken!r}", hint="give the baseline another name")
        # Keep digests rather than the inputs themselves, because there may be a lot of inputs.
        inputs = {item.case: _digest_input(item) for item in self}

        def earlier_items() -> Iterator[EvaluationItem]:
            for item in baseline:
                if item.variant in new_names and inputs.get(item.case) == _digest_input(item):
                    yield replace(item, variant=new_names[item.variant])

        remarks = list(self._remarks)
        missing = len(inputs) - len({item.case for item in earlier_items()})
        if missing == len(inputs):
            hint = "cases are the same if they have the same name and input"
            raise InvalidArgumentError("the baseline has none of these cases", hint=hint)
        if missing:
            why = "because the baseline lacks them or has a different input for them"
            remarks.append(f"{missing:,} of {len(inputs):,} cases are left out {why}.")
        # Don't compare durations across evaluations, because they were measured at different times.
        moments: dict[str, Hashable] = dict.fromkeys(new_names.values(), "baseline")
        moments |= {variant: self._rules.moments.get(variant) for variant in self.variants}
        return self._make_report_on_other_items(
            moments,
            name=self.name,
            items=LazyItems(lambda: chain(self, earlier_items())),
            variants=[*new_names.values(), *self.variants],
            baselines={variant: new_names[before] for variant, before in earlier.items()},
            remarks=remarks,
        )

    @property
    def baselines(self) -> dict[str, str]:
        """Maps each variant to the variant it's compared with. Without a baseline, that's the first variant."""
        if self._baselines is not None:
            return dict(self._baselines)
        return dict.fromkeys(self.variants[1:], next(iter(self.variants), ""))

    @property
    def variants(self) -> tuple[str, ...]:
        """The names of the variants. Unless there is a baseline, all of them are compared with the first."""
        return tuple(self._columns.variants)

    @property
    def scores(self) -> tuple[str, ...]:
        """The score names. Each label counts as a separate score, e.g. `tone=friendly`."""
        return tuple(self._columns.kinds)

    @property
    def cases(self) -> tuple[str, ...]:
        """The case names."""
        return tuple(self._columns.cases)

    def summary(self) -> EvaluationSummary:
        """Summarize the mean scores and the changes from the first variant or baseline. You can `print` the result."""
        return self._summary

    @cached_property
    def _summary(self) -> EvaluationSummary:
        columns = self._columns
        comparisons = [self.compare(before, after) for after, before in self.baselines.items()]
        pairs = [(score, name) for score in columns.kinds for name in columns.variants]
        means = (variant_comparison.compute_score_mean(score, name, columns, self._rules) for score, name in pairs)
        durations = map(variant_comparison.summarize_durations, columns.variants, columns.variants.values())
        caveats = variant_comparison.collect_remarks(columns, comparisons)
        return EvaluationSummary(
            name=self.name,
            cases=len(columns.cases),
            repeats=columns.repeats,
            variants=self.variants,
            means=[mean for mean in means if mean is not None],
            durations=[duration for duration in durations if duration is not None],
            comparisons=comparisons,
            remarks=[*self._remarks, *map(self._secrets.hide_in_text, caveats)],
        )

    def compare(self, baseline: str, variant: str) -> Comparison:
        """Compare two variants case by case. You can `print` the result.

        Args:
            baseline: The variant to compare with.
            variant: The variant to compare.

        Raises:
            InvalidArgumentError: If either variant doesn't exist.
        """
        self._check_variant(baseline, "baseline")
        return self._get_comparison_with_changes(baseline, self._check_variant(variant, "variant")).comparison

    def _get_comparison_with_changes(self, baseline: str, variant: str) -> variant_comparison.ComparisonWithChanges:
        pair = (baseline, variant)
        if pair not in self._comparisons:
            self._comparisons[pair] = variant_comparison.compare_variants(self._columns, *pair, self._rules)
        return self._comparisons[pair]

    def _check_variant(self, name: str, what: str) -> str:
        if arguments.check_text(name, what) not in self._columns.variants:
            raise InvalidArgumentError(f"unknown variant {name!r}", hint=suggest_or_list(name, self.variants))
        return name

    def _check_score(self, name: str) -> str:
        if arguments.check_text(name, "score") not in self._columns.kinds:
            raise InvalidArgumentError(f"unknown score {name!r}", hint=suggest_or_list(name, self.scores))
        return name

    def assert_no_regression(
        self, baseline: str, variant: str, score: str, *, tolerance: float = 0.0, strict: bool = False
    ) -> ScoreChange:
        """Assert that a score hasn't regressed between two variants and return its change.

        Args:
            baseline: The variant to compare with.
            variant: The variant to compare.
            score: The score's name, or `failed` for the share of items that didn't complete.
            tolerance: How much worse the score may get. Defaults to 0.
            strict: Whether to fail if the tolerance lies within the change's confidence interval. By default, only a
                clear regression fails. In strict mode, the check passes only if a regression beyond the tolerance can
                be ruled out, which may take many cases.

        Raises:
            AssertionError: If there is a regression.
            InvalidArgumentError: If the variant or score doesn't exist, if no case has the score in both variants, or
                if the score measures time and the variants ran at different times.
        """
        arguments.check_flag(strict, "strict")
        if not is_number(tolerance) or not tolerance >= 0:
            raise arguments.argument_error("tolerance", "a number >= 0", tolerance)
        comparison = self.compare(baseline, variant)
        if comparison.failed is None:
            raise InvalidArgumentError(f"nothing to compare: no case has ended in both {baseline} and {variant}")
        try:
            change = comparison[score if score == FAILED_SCORE else self._check_score(score)]
        except KeyError:
            raise InvalidArgumentError(f"no case has {score} in both {baseline} and {variant}") from None
        if change.verdict is None:
            raise InvalidArgumentError(f"{score} of {baseline} and {variant} was measured at different times")
        paired = self._get_comparison_with_changes(baseline, variant).changes[score]
        direction = paired.get_significant_direction(than=get_tolerated_change(change, tolerance))
        is_worse = (direction if change.lower_is_better else -direction) > 0
        is_sure = is_conclusive(change, direction)
        if not is_worse and (is_sure or not strict):
            if not is_sure and change.verdict != "equal":
                needed = describe_needed_cases(change, paired, tolerance)
                logger.warning("%s: %s may be worse than %s; %s", score, variant, baseline, needed)
            return change
        what = "is worse" if is_worse else "may be worse"
        difference, interval = format_change(change)
        numbers = f"{format_number(change.before)} -> {format_number(change.after)}, change {difference}"
        compared = f"{variant} {what} than {baseline} by more than {tolerance:g}"
        lines = [f"{score}: {compared}: {numbers} (95% interval {interval})"]
        if not is_worse:
            lines.append(describe_needed_cases(change, paired, tolerance))
        counts = f"{change.wins:,} are better, {change.ties:,} equal, {change.losses:,} worse"
        lines.append(f"of {change.cases:,} cases {counts}:")
        for case in () if score == FAILED_SCORE else self.worst(5, score=score, variant=variant, baseline=baseline):
            values = ["none" if value is None else format_number(value) for value in (case.before, case.value)]
            output = short_json(case.item.output, 80)
            lines.append(f"  case {case.case}: {' -> '.join(values)}, run {case.run_id}: {output}")
        raise AssertionError(self._secrets.hide_in_text("\n".join(lines)))

    def gates(
        self,
        fail_below: Mapping[str, float] | None = None,
        *,
        tolerance: float | Mapping[str, float] = 0.0,
        strict: bool = False,
    ) -> list[Gate]:
        """Check that each variant has completed items, has no mean below its limit, and isn't worse than its baseline.

        Args:
            fail_below: Minimum means by score name, or maximums if low values are good.
            tolerance: How much worse scores may be than the baseline's, or a mapping from score names to tolerances.
                Defaults to 0.
            strict: Whether a gate fails if there are too few cases to decide it. Defaults to False.

        Raises:
            InvalidArgumentError: If a score doesn't exist or a limit isn't a number.
        """
        if isinstance(tolerance, Mapping):
            tolerances = self._parse_score_limits(tolerance, "tolerance")
        elif is_number(tolerance):
            tolerances = [Limit(None, tolerance)]
        else:
            raise arguments.argument_error("tolerance", "a number, or a mapping of numbers", tolerance)
        below = self._parse_score_limits({} if fail_below is None else fail_below, "fail_below")
        return list(evaluate_gates(self, GateRules(below, tolerances, arguments.check_flag(strict, "strict"))))

    def _parse_score_limits(self, numbers: Mapping[str, float], what: str) -> list[Limit]:
        for name, limit in arguments.check_mapping(numbers, what).items():
            if name != FAILED_SCORE:
                self._check_score(name)
            if not is_number(limit):
                raise arguments.argument_error(f"{what}[{name!r}]", "a number", limit)
        return [Limit(name, limit) for name, limit in numbers.items()]

    def worst(
        self, limit: int = 10, *, score: str | None = None, variant: str | None = None, baseline: str | None = None
    ) -> list[WorstCase]:
        """Return the cases in which a variant performs worst, starting with the worst.

        Args:
            limit: Maximum number of cases. Defaults to 10.
            score: The name of the score. Defaults to the first score.
            variant: The name of the variant. Defaults to the last variant.
            baseline: The variant to compare with. Only cases where the score gets worse are returned.
                Defaults to the variant's own baseline. If you pass the variant itself (the default for the first
                variant), the cases with the worst scores are returned.

        Raises:
            InvalidArgumentError: If the score or a variant doesn't exist.
        """
        arguments.check_integer(limit, "limit", least=1)
        if not self.scores or not self.variants:
            return []
        name = self.scores[0] if score is None else self._check_score(score)
        after = self.variants[-1] if variant is None else self._check_variant(variant, "variant")
        before = self.baselines.get(after, after) if baseline is None else self._check_variant(baseline, "baseline")
        sign = self._rules.get_badness_sign(name)
        variant_columns = self._columns.variants[after]
        values = variant_columns.scores.get(name, Column())
        earlier = Column() if before == after else self._columns.variants[before].scores.get(name, Column())
        badness: dict[str, float] = {}
        for case, number in self._columns.cases.items():
            now, then = values.get_case_mean(number), earlier.get_case_mean(number)
            if before != after and then is None:
                continue
            if now is None:
                # A case without an output is worse than any score.
                if variant_columns.failures.get_case_mean(number):
                    badness[case] = math.inf
            elif then is None or sign * (now - then) > 0:
                badness[case] = sign * (now - (then or 0.0))
        worst = nlargest(limit, badness, key=badness.__getitem__)

        def rank(item: EvaluationItem) -> float:
            value = item.scores.get(name)
            if not item.is_success:
                return math.inf
            return sign * float(value) if isinstance(value, (int, float)) else -math.inf

        items: dict[tuple[str, str], EvaluationItem] = {}
        for item in self._items:
            if item.case in worst and item.variant in (after, before):
                key = (item.case, item.variant)
                if key not in items or (item.variant == after and rank(item) > rank(items[key])):
                    items[key] = item
        found = []
        for case in [case for case in worst if (case, after) in items]:
            now, then = (column.get_case_mean(self._columns.cases[case]) for column in (values, earlier))
            compared = None if before == after else items.get((case, before))
            found.append(WorstCase(case, name, now, then, items[case, after], compared))
        return found

    def slices(self, field: str) -> dict[str, EvaluationReport]:
        """Split the report by tag, or by the values of a field.

        To get the scores of all slices in one list, with verdicts corrected for the number of slices, use
        `slice_scores`.

        Args:
            field: `tags`, a metadata key, or an input field such as `user.language`.

        Raises:
            InvalidArgumentError: If no case has the field or a tag.
        """
        groups = variant_comparison.group_case_names_by_tag_or_field(self._items, arguments.check_text(field, "field"))
        if not groups:
            raise InvalidArgumentError(f"no case has {'tags' if field in ('tag', 'tags') else f'the field {field!r}'}")
        return {
            value: self._make_report_on_other_items(
                self._rules.moments,
                items=LazyItems(partial(self._iter_items_of_cases, cases)),
                name=f"{self.name}: {value}",
                variants=self.variants,
                baselines=self._baselines,
            )
            for value, cases in groups.items()
        }

    def _iter_items_of_cases(self, cases: Collection[str]) -> Iterator[EvaluationItem]:
        return (item for item in self._items if item.case in cases)

    def slice_scores(self, field: str) -> list[SliceScore]:
        """Return the scores of all variants for each tag, or for each value of a field.

        Verdicts are corrected for the number of slices and scores.

        Args:
            field: `tags`, a metadata key, or an input field such as `user.language`.

        Raises:
            InvalidArgumentError: If no case has the field or a tag.
        """
        return variant_comparison.compute_slice_scores(self.slices(field))

    def hidden(self, value: Any) -> Any:
        """Replace values of secret variables in JSON data with `***`, as pages and files do."""
        return self._secrets.hide_in(value)

    def to_dicts(self, *, include_outputs: bool = False) -> list[dict[str, Any]]:
        """Return the items as flat dicts with case, variant, repeat, status, times, run, and a key for each score.

        `tags` and `metadata.KEY` are included if the case has them; `tokens` and `cost` are included if the output has
        them.

        Args:
            include_outputs: Whether to include inputs, expected values and outputs. Defaults to False.
        """
        arguments.check_flag(include_outputs, "include_outputs")
        return [_flatten_item(item, self._secrets, include_outputs=include_outputs) for item in self._items]

    def to_dataframe(self, *, include_outputs: bool = False) -> Any:
        """Return the items as a pandas data frame, or as a polars one if pandas isn't installed. See `to_dicts`.

        Raises:
            StepflowClientError: If neither is installed.
        """
        rows = self.to_dicts(include_outputs=include_outputs)
        return get_data_frame_maker()(rows)

    def to_dict(self) -> dict[str, Any]:
        """Return the summary as JSON data."""
        return self.summary().to_dict()

    def to_html(
        self,
        path: str | os.PathLike[str] | None = None,
        *,
        ui_url: str | None = None,
        gates: Sequence[Gate] | None = None,
        slices: Sequence[SliceScore] = (),
    ) -> str:
        """Return the report as a self-contained HTML page, and optionally write it to a file.

        Args:
            path: The file to write, if any.
            ui_url: The address of `stepflow ui`, for links to the runs. By default, there are no links.
            gates: The gates to show. Defaults to those from `gates()`.
            slices: Scores for subsets of the cases, as returned by `slice_scores`. Defaults to none.

        Raises:
            FlowFileError: If the file cannot be written.
        """
        if ui_url is not None:
            arguments.check_text(ui_url, "ui_url")
        slices = arguments.check_instances(slices, "slices", SliceScore)
        shown = self.gates() if gates is None else arguments.check_instances(gates, "gates", Gate)
        text: str = _page.render_report_page(self, ui_url, shown, slices)
        if path is not None:
            write_text(path, text)
        return text

    def to_junit(self, path: str | os.PathLike[str] | None = None, *, gates: Sequence[Gate] | None = None) -> str:
        """Return the report as JUnit XML, and optionally write it to a file.

        Variants become test suites and gates become test cases. If there are too few cases to decide a gate, it's
        marked as skipped. Item scores are stored as properties of the suite.

        Args:
            path: The file to write, if any.
            gates: The gates. Defaults to those from `gates()`.

        Raises:
            FlowFileError: If the file cannot be written.
        """
        from xml.etree import ElementTree

        from .._records.junit_xml import format_junit_xml

        root = ElementTree.Element("testsuites", name=self.name or "evaluation")
        suites = {name: ElementTree.SubElement(root, "testsuite", name=name) for name in self.variants}
        properties = {name: ElementTree.SubElement(suite, "properties") for name, suite in suites.items()}
        for item in self:
            parts = [] if item.is_success else [f"{item.status}: {item.error}" if item.error else item.status]
            for name, value in item.scores.items():
                parts.append(f"{name}={format_number(value) if isinstance(value, (int, float)) else value}")
            if item.run_id is not None:
                parts.append(f"run {item.run_id}")
            name = f"{item.case} ({item.repeat})" if item.repeat else item.case
            attributes = {"name": name, "value": self._secrets.hide_in_text(", ".join(parts))}
            ElementTree.SubElement(properties[item.variant], "property", attributes)
        for gate in self.gates() if gates is None else arguments.check_instances(gates, "gates", Gate):
            case = ElementTree.SubElement(suites[gate.variant], "testcase", classname=gate.variant, name=gate.condition)
            if gate.outcome == "passed":
                ElementTree.SubElement(case, "system-out").text = gate.message
            else:
                kind = "failure" if gate.outcome == "failed" else "skipped"
                ElementTree.SubElement(case, kind, message=gate.message)
        text = format_junit_xml(root)
        if path is not None:
            write_text(path, text)
        return text


def _digest_input(item: EvaluationItem) -> bytes:
    return hashlib.sha256(to_json(item.input)).digest()


def _flatten_item(item: EvaluationItem, secrets: Secrets, *, include_outputs: bool) -> dict[str, Any]:
    names = ("case", "variant", "repeat", "status", "duration", "run_id", "item_index")
    flat = {name: getattr(item, name) for name in names}
    flat["error"] = None if item.error is None else secrets.hide_in_text(item.error)
    if include_outputs:
        flat |= {name: secrets.hide_in(getattr(item, name)) for name in ("input", "expected", "output")}
    for name, value in item.scores.items():
        flat[f"score.{name}" if name in flat else name] = value
    if item.tags:
        flat["tags"] = [*item.tags]
    more = {f"metadata.{name}": value for name, value in item.metadata.items()} | read_usage(item.output)
    return flat | {name: value for name, value in secrets.hide_in(more).items() if name not in flat}


TREND_HEADS = ("score", "variant", "evaluation", "began", "cases", "mean", "95% interval")


@dataclass(frozen=True, slots=True)
class TrendPoint(Record):
    """The mean of a score for one variant in one of several evaluations."""

    name: str
    """The name of the evaluation's folder."""
    began: datetime
    """When the evaluation started."""
    score: str
    variant: str
    cases: int
    """Number of cases with a score."""
    mean: float
    low: float | None
    """The lower bound of the mean's 95% interval, or None if there are fewer than five cases."""
    high: float | None


def trend(folder: str | os.PathLike[str], *, limit: int = 10) -> list[TrendPoint]:
    """Return the mean scores of a folder's most recent evaluations, grouped by score and variant, oldest first.

    Args:
        folder: The folder whose subfolders contain the evaluations.
        limit: Maximum number of evaluations. Defaults to 10.

    Raises:
        InvalidArgumentError: If no subfolder contains an evaluation.
        JournalError: If an evaluation cannot be read.
    """
    path = arguments.file_path(folder, "folder")
    arguments.check_integer(limit, "limit", least=1)
    began = {}
    for entry in sorted(path.iterdir() if path.is_dir() else ()):
        if EvaluationStore.exists(entry):
            with EvaluationStore(entry) as store:
                # If an evaluation's cases are invalid, it never starts but still leaves a folder behind.
                if moment := store.read_setting("began"):
                    began[entry] = datetime.fromisoformat(moment)
    if not began:
        raise InvalidArgumentError(f"no folder in {path} has an evaluation")
    newest = sorted(began, key=began.__getitem__)[-limit:]
    points = [
        TrendPoint(entry.name, began[entry], mean.score, mean.variant, mean.cases, mean.mean, mean.low, mean.high)
        for entry in newest
        for mean in EvaluationReport.load(entry).summary().means
    ]
    order = {key: place for place, key in enumerate(dict.fromkeys((point.score, point.variant) for point in points))}
    return sorted(points, key=lambda point: order[point.score, point.variant])


def format_trend_cells(point: TrendPoint) -> tuple[str, ...]:
    """Return the cells for one point of a trend, in the order of `TREND_HEADS`."""
    began = f"{point.began.astimezone():%Y-%m-%d %H:%M}"
    interval = format_interval(point.low, point.high, scale=point.mean)
    return point.score, point.variant, point.name, began, f"{point.cases:,}", format_number(point.mean), interval
