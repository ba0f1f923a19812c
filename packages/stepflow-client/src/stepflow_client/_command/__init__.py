"""What the command uses of this package beyond its public names: the only private module that it imports from."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .._base.lazy import lazy_names

if TYPE_CHECKING:
    from .._async.runs import RunReader
    from .._async.snapshots import SnapshotReader
    from .._async.tools import add_hint
    from .._async.watching import RunWatcher
    from .._base.logging import listening, logger_of
    from .._base.long_computations import collector_paused
    from .._base.suggestions import explain_missing_file, install_command, suggest_nearest_file
    from .._cases.expected_outputs import expectation_of, get_edits
    from .._cases.flow_cases import flow_result, is_lost, parse_tests
    from .._cases.selection import list_names
    from .._checks.checker import check_config, check_source, find_suppressions, make_excerpt, make_result
    from .._checks.flow_model import FlowModel, Read, find_subflow, get_subflow_node
    from .._checks.inferred_flow import infer_from_text
    from .._checks.type_comparison import type_text
    from .._checks.type_inference import (
        FlowTypes,
        StepTypes,
        infer_flow_types,
        infer_input_from_uses,
        infer_variable_type,
        look_up_reference,
    )
    from .._codec.requests import add_env_variables, check_run_id, complete_arguments, flow_variables, run_arguments
    from .._concurrency.background import sync_gather
    from .._concurrency.input_checks import async_run_check
    from .._data.arguments import check_instance, check_mapping, check_text
    from .._data.json_encoding import is_data_object
    from .._data.output_decoder import PLAIN, OutputDecoder
    from .._data.toml_reader import parse_toml
    from .._data.values import apply_patch, check_json, encode, make_merge_patch, merge_overrides
    from .._data.yaml_format import find_open_marks, write_yaml
    from .._editing.corrections import correct_flow, make_edit
    from .._embedded.config import ServerConfig, is_read_once, recovery_warnings
    from .._embedded.log_pump import passing_lines
    from .._http.connecting import certificate_problem
    from .._http.settings import check_timeout, environment_settings, parse_url
    from .._records.inputs import GOES_ON
    from .._records.junit_xml import junit_xml
    from .._records.outcome_files import OutcomeFormat, output_format_of, read_outcomes
    from .._rules.failure_groups import MAX_GROUPS_SHOWN, FailureGroup, FailureGroups, failure_groups
    from .._rules.run_progress import BatchCount, ItemTime, ItemTimes, StepTime, StepTimes
    from .._rules.run_queries import QUERY_FIELDS, RunQuery, quote, read_query
    from .._rules.timeouts import deadline_of, deadline_scope
    from .._rules.transport_errors import ANOTHER_SERVICE, refused
    from .._runs.causes import ItemCauses
    from .._runs.client_metadata import as_stored, examples_of, without_cases
    from .._runs.initial_progress import progress_of
    from .._runs.refusals import FailureHints, ResolvedInput
    from .._runs.run_differences import ABSENT, value_changes
    from .._stores.journal import Journal
    from .._stores.user_folders import user_folder
    from .._sync.watching import RunUpdate
    from .._telemetry.recorder import list_server_aliases
    from ..testing.case_runs import may_execute
    from ..types.statuses import is_given_up

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
    "add_env_variables",
    "add_hint",
    "apply_patch",
    "as_stored",
    "async_run_check",
    "certificate_problem",
    "check_config",
    "check_instance",
    "check_json",
    "check_mapping",
    "check_run_id",
    "check_source",
    "check_text",
    "check_timeout",
    "collector_paused",
    "complete_arguments",
    "correct_flow",
    "deadline_of",
    "deadline_scope",
    "encode",
    "environment_settings",
    "examples_of",
    "expectation_of",
    "explain_missing_file",
    "failure_groups",
    "find_open_marks",
    "find_subflow",
    "find_suppressions",
    "flow_result",
    "flow_variables",
    "get_edits",
    "get_subflow_node",
    "infer_flow_types",
    "infer_from_text",
    "infer_input_from_uses",
    "infer_variable_type",
    "install_command",
    "is_data_object",
    "is_given_up",
    "is_lost",
    "is_read_once",
    "junit_xml",
    "list_names",
    "list_server_aliases",
    "listening",
    "logger_of",
    "look_up_reference",
    "make_edit",
    "make_excerpt",
    "make_merge_patch",
    "make_result",
    "may_execute",
    "merge_overrides",
    "output_format_of",
    "parse_tests",
    "parse_toml",
    "parse_url",
    "passing_lines",
    "progress_of",
    "quote",
    "read_outcomes",
    "read_query",
    "recovery_warnings",
    "refused",
    "run_arguments",
    "suggest_nearest_file",
    "sync_gather",
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
        "._base.long_computations": ["collector_paused"],
        "._base.suggestions": ["install_command", "explain_missing_file", "suggest_nearest_file"],
        "._base.logging": ["listening", "logger_of"],
        "._cases.expected_outputs": ["get_edits", "expectation_of"],
        "._cases.flow_cases": ["is_lost", "parse_tests", "flow_result"],
        "._cases.selection": ["list_names"],
        "._checks.checker": ["make_excerpt", "check_source", "check_config", "make_result", "find_suppressions"],
        "._checks.type_inference": [
            "look_up_reference",
            "infer_variable_type",
            "FlowTypes",
            "StepTypes",
            "infer_input_from_uses",
            "infer_flow_types",
        ],
        "._checks.flow_model": ["FlowModel", "Read", "find_subflow", "get_subflow_node"],
        "._checks.inferred_flow": ["infer_from_text"],
        "._checks.type_comparison": ["type_text"],
        "._codec.requests": [
            "check_run_id",
            "complete_arguments",
            "add_env_variables",
            "run_arguments",
            "flow_variables",
        ],
        "._concurrency.background": ["sync_gather"],
        "._concurrency.input_checks": ["async_run_check"],
        "._data.arguments": ["check_instance", "check_mapping", "check_text"],
        "._data.values": ["make_merge_patch", "apply_patch", "check_json", "encode", "merge_overrides"],
        "._data.json_encoding": ["is_data_object"],
        "._data.output_decoder": ["PLAIN", "OutputDecoder"],
        "._rules.run_queries": ["QUERY_FIELDS", "RunQuery", "quote", "read_query"],
        "._data.toml_reader": ["parse_toml"],
        "._data.yaml_format": ["find_open_marks", "write_yaml"],
        "._editing.corrections": ["correct_flow", "make_edit"],
        "._embedded.config": ["ServerConfig", "is_read_once", "recovery_warnings"],
        "._embedded.log_pump": ["passing_lines"],
        "._http.settings": ["check_timeout", "environment_settings", "parse_url"],
        "._http.connecting": ["certificate_problem"],
        "._records.inputs": ["GOES_ON"],
        "._records.junit_xml": ["junit_xml"],
        "._records.outcome_files": ["OutcomeFormat", "output_format_of", "read_outcomes"],
        "._rules.run_progress": ["BatchCount", "ItemTime", "ItemTimes", "StepTime", "StepTimes"],
        "._rules.timeouts": ["deadline_of", "deadline_scope"],
        ".types.statuses": ["is_given_up"],
        "._rules.failure_groups": ["FailureGroup", "FailureGroups", "MAX_GROUPS_SHOWN", "failure_groups"],
        "._rules.transport_errors": ["ANOTHER_SERVICE", "refused"],
        "._runs.client_metadata": ["as_stored", "examples_of", "without_cases"],
        "._runs.causes": ["ItemCauses"],
        "._runs.initial_progress": ["progress_of"],
        "._runs.refusals": ["FailureHints", "ResolvedInput"],
        "._runs.run_differences": ["ABSENT", "value_changes"],
        "._stores.journal": ["Journal"],
        "._stores.user_folders": ["user_folder"],
        "._sync.watching": ["RunUpdate"],
        "._telemetry.recorder": ["list_server_aliases"],
        ".testing.case_runs": ["may_execute"],
    },
)
