"""What the command uses of this package beyond its public names: the only private module that it imports from."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .._base.lazy import lazy_names

if TYPE_CHECKING:
    from .._async.runs import RunReader
    from .._async.snapshots import SnapshotReader
    from .._async.tools import add_hint
    from .._async.watching import RunWatcher
    from .._base.collector import collector_paused
    from .._base.installing import install_command
    from .._base.logging import listening, logger_of
    from .._base.near_files import near_file, nearest_file
    from .._cases.expected_outputs import changes, expectation_of
    from .._cases.flow_cases import is_lost, tests_in
    from .._cases.mock_outcomes import flow_result
    from .._cases.selection import names_of
    from .._checks.checker import excerpt_of, find_in, find_in_config, result_of, suppressions_in
    from .._checks.expression_types import infer_variable_type, look_up_reference
    from .._checks.flow_model import FlowModel, Read, flow_within, node_of_inner
    from .._checks.flow_types import FlowTypes, StepTypes, infer_flow_types, infer_input_from_uses
    from .._checks.inferred_flow import infer_in
    from .._checks.type_text import type_text
    from .._codec.requests import check_run_id, completed, environment_variables, run_arguments
    from .._codec.variables import flow_variables
    from .._concurrency.background import sync_gather
    from .._concurrency.input_checks import async_run_check
    from .._data.arguments import check_instance, check_mapping, check_text
    from .._data.json_encoding import is_data_object
    from .._data.merge_patch import make_merge_patch, merged
    from .._data.output_decoder import PLAIN, OutputDecoder
    from .._data.run_query import QUERY_FIELDS, RunQuery, quoted, read_query
    from .._data.toml_reader import parse_toml
    from .._data.values import check_json, encode, merge_overrides
    from .._data.yaml_reader import open_marks
    from .._data.yaml_writer import write_yaml
    from .._editing.corrections import corrected, edit_of
    from .._embedded.config import ServerConfig, is_read_once, recovery_warnings
    from .._embedded.log_pump import passing_lines
    from .._http.settings import check_timeout, environment_settings, parse_url
    from .._http.tls import certificate_problem
    from .._records.inputs import GOES_ON
    from .._records.junit_xml import junit_xml
    from .._records.outcome_files import OutcomeFormat, output_format_of, read_outcomes
    from .._rules.batch_count import BatchCount
    from .._rules.deadline import deadline_of, deadline_scope
    from .._rules.ending import is_given_up
    from .._rules.failure_groups import MAX_GROUPS_SHOWN, FailureGroup, FailureGroups, failure_groups
    from .._rules.server_advice import ANOTHER_SERVICE, refused
    from .._rules.step_times import ItemTime, ItemTimes, StepTime, StepTimes
    from .._runs.causes import ItemCauses
    from .._runs.client_metadata import as_stored, examples_of, without_cases
    from .._runs.initial_progress import progress_of
    from .._runs.refusals import FailureHints
    from .._runs.resolving import ResolvedInput
    from .._runs.run_differences import ABSENT, value_changes
    from .._stores.journal import Journal
    from .._stores.user_folders import user_folder
    from .._sync.watching import RunUpdate
    from .._telemetry.recorder import list_server_aliases
    from ..testing.case_runs import executes_all

__all__ = [
    "ABSENT",
    "ANOTHER_SERVICE",
    "GOES_ON",
    "MAX_GROUPS_SHOWN",
    "PLAIN",
    "QUERY_FIELDS",
    "BatchCount",
    "FailureGroup",
    "FailureGroups",
    "FailureHints",
    "FlowModel",
    "FlowTypes",
    "ItemCauses",
    "ItemTime",
    "ItemTimes",
    "Journal",
    "OutcomeFormat",
    "OutputDecoder",
    "Read",
    "ResolvedInput",
    "RunQuery",
    "RunReader",
    "RunUpdate",
    "RunWatcher",
    "ServerConfig",
    "SnapshotReader",
    "StepTime",
    "StepTimes",
    "StepTypes",
    "add_hint",
    "as_stored",
    "async_run_check",
    "certificate_problem",
    "changes",
    "check_instance",
    "check_json",
    "check_mapping",
    "check_run_id",
    "check_text",
    "check_timeout",
    "collector_paused",
    "completed",
    "corrected",
    "deadline_of",
    "deadline_scope",
    "edit_of",
    "encode",
    "environment_settings",
    "environment_variables",
    "examples_of",
    "excerpt_of",
    "executes_all",
    "expectation_of",
    "failure_groups",
    "find_in",
    "find_in_config",
    "flow_result",
    "flow_variables",
    "flow_within",
    "infer_flow_types",
    "infer_in",
    "infer_input_from_uses",
    "infer_variable_type",
    "install_command",
    "is_data_object",
    "is_given_up",
    "is_lost",
    "is_read_once",
    "junit_xml",
    "list_server_aliases",
    "listening",
    "logger_of",
    "look_up_reference",
    "make_merge_patch",
    "merge_overrides",
    "merged",
    "names_of",
    "near_file",
    "nearest_file",
    "node_of_inner",
    "open_marks",
    "output_format_of",
    "parse_toml",
    "parse_url",
    "passing_lines",
    "progress_of",
    "quoted",
    "read_outcomes",
    "read_query",
    "recovery_warnings",
    "refused",
    "result_of",
    "run_arguments",
    "suppressions_in",
    "sync_gather",
    "tests_in",
    "type_text",
    "user_folder",
    "value_changes",
    "without_cases",
    "write_yaml",
]  # fmt: skip

__getattr__, __dir__ = lazy_names(
    __name__,
    {
        "._async.runs": ["RunReader"],
        "._async.snapshots": ["SnapshotReader"],
        "._async.tools": ["add_hint"],
        "._async.watching": ["RunWatcher"],
        "._base.collector": ["collector_paused"],
        "._base.installing": ["install_command"],
        "._base.logging": ["listening", "logger_of"],
        "._base.near_files": ["near_file", "nearest_file"],
        "._cases.expected_outputs": ["changes", "expectation_of"],
        "._cases.flow_cases": ["is_lost", "tests_in"],
        "._cases.mock_outcomes": ["flow_result"],
        "._cases.selection": ["names_of"],
        "._checks.checker": ["excerpt_of", "find_in", "find_in_config", "result_of", "suppressions_in"],
        "._checks.expression_types": ["look_up_reference", "infer_variable_type"],
        "._checks.flow_model": ["FlowModel", "Read", "flow_within", "node_of_inner"],
        "._checks.flow_types": ["FlowTypes", "StepTypes", "infer_input_from_uses", "infer_flow_types"],
        "._checks.inferred_flow": ["infer_in"],
        "._checks.type_text": ["type_text"],
        "._codec.requests": ["check_run_id", "completed", "environment_variables", "run_arguments"],
        "._codec.variables": ["flow_variables"],
        "._concurrency.background": ["sync_gather"],
        "._concurrency.input_checks": ["async_run_check"],
        "._data.arguments": ["check_instance", "check_mapping", "check_text"],
        "._data.merge_patch": ["make_merge_patch", "merged"],
        "._data.json_encoding": ["is_data_object"],
        "._data.output_decoder": ["PLAIN", "OutputDecoder"],
        "._data.run_query": ["QUERY_FIELDS", "RunQuery", "quoted", "read_query"],
        "._data.toml_reader": ["parse_toml"],
        "._data.values": ["check_json", "encode", "merge_overrides"],
        "._data.yaml_reader": ["open_marks"],
        "._data.yaml_writer": ["write_yaml"],
        "._editing.corrections": ["corrected", "edit_of"],
        "._embedded.config": ["ServerConfig", "is_read_once", "recovery_warnings"],
        "._embedded.log_pump": ["passing_lines"],
        "._http.settings": ["check_timeout", "environment_settings", "parse_url"],
        "._http.tls": ["certificate_problem"],
        "._records.inputs": ["GOES_ON"],
        "._records.junit_xml": ["junit_xml"],
        "._records.outcome_files": ["OutcomeFormat", "output_format_of", "read_outcomes"],
        "._rules.batch_count": ["BatchCount"],
        "._rules.deadline": ["deadline_of", "deadline_scope"],
        "._rules.ending": ["is_given_up"],
        "._rules.failure_groups": ["FailureGroup", "FailureGroups", "MAX_GROUPS_SHOWN", "failure_groups"],
        "._rules.server_advice": ["ANOTHER_SERVICE", "refused"],
        "._rules.step_times": ["ItemTime", "ItemTimes", "StepTime", "StepTimes"],
        "._runs.client_metadata": ["as_stored", "examples_of", "without_cases"],
        "._runs.causes": ["ItemCauses"],
        "._runs.initial_progress": ["progress_of"],
        "._runs.refusals": ["FailureHints"],
        "._runs.resolving": ["ResolvedInput"],
        "._runs.run_differences": ["ABSENT", "value_changes"],
        "._stores.journal": ["Journal"],
        "._stores.user_folders": ["user_folder"],
        "._sync.watching": ["RunUpdate"],
        "._telemetry.recorder": ["list_server_aliases"],
        ".testing.case_runs": ["executes_all"],
    },
)
