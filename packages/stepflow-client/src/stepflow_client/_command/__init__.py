"""Private names used by the CLI, which doesn't import from any other private module."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .._base.lazy import make_lazy_exports

if TYPE_CHECKING:
    from .._async.agent_tools import add_hint_from_explanation
    from .._async.run_reader import RunReader
    from .._async.snapshot_reader import SnapshotReader
    from .._async.watching import RunWatcher
    from .._base.bounded_dict import BoundedDict
    from .._base.gc_pauses_and_slices import pause_garbage_collector
    from .._base.logging import get_logger, listening_to_warnings
    from .._base.suggestions import (
        explain_missing_file,
        find_nearest,
        install_command,
        suggest_nearest,
        suggest_nearest_file,
        suggest_or_list,
    )
    from .._cases.expected_output_updates import expectation_of
    from .._cases.flow_cases import parse_tests
    from .._cases.mock_outcomes import make_outcome_dict
    from .._checks.checker import check_source, make_excerpt, make_suppression_check, make_validation_result
    from .._checks.inferred_flow import infer_from_flow_text
    from .._checks.steps_and_references import FlowAnalysis, LocatedReference, get_subflow_node
    from .._checks.type_comparison import format_type
    from .._checks.type_inference import (
        FlowTypes,
        StepTypes,
        infer_flow_types,
        infer_input_from_uses,
        infer_variable_type,
        look_up_reference,
    )
    from .._codec.call_checks import (
        add_env_variables,
        check_and_complete_arguments,
        check_run_id,
        parse_declared_variables,
        parse_run_arguments,
    )
    from .._concurrency import async_compute, sync_gather
    from .._data.arguments import check_text
    from .._data.json_encoding import is_data_object
    from .._data.toml_reader import parse_toml
    from .._data.wire import PLAIN, OutputDecoder, apply_patch, check_json, make_merge_patch, to_json, unify_overrides
    from .._data.yaml_format import write_yaml
    from .._editing.finding_fixes import add_hints_and_fixes
    from .._embedded.config import ServerConfig, find_recovery_warnings, is_read_once
    from .._embedded.server_logs import listening_to_server_logs
    from .._http.connecting import describe_certificate_problem
    from .._http.settings import is_loopback, parse_timeout, parse_url, read_environment_settings
    from .._records.inputs import SKIP_HINT
    from .._records.junit_xml import format_junit_xml
    from .._records.outcome_files import OutcomeFormat, iter_outcome_records, resolve_output_format
    from .._rules.deadlines import compute_deadline, deadline_scope
    from .._rules.failure_groups import MAX_GROUPS_SHOWN, FailureGroup, FailureGroups, group_failures
    from .._rules.run_queries import QUERY_FIELDS, RunQuery, parse_run_query, quote_word
    from .._rules.transport_errors import ANOTHER_SERVICE, get_refused_hint
    from .._runs.component_input_hints import ResolvedInput, find_run_error_hint
    from .._runs.run_differences import ABSENT, find_value_changes
    from .._runs.strip_and_restore_flow import collect_examples, remove_cases
    from .._stores.atomic_file_writes import get_stepflow_user_folder
    from .._stores.batch_journal import Journal
    from .._sync.snapshot_reader import build_initial_progress
    from .._sync.watching import RunUpdate
    from .._telemetry.history_recorder import list_server_aliases

__all__ = [
    "ABSENT", "ANOTHER_SERVICE", "MAX_GROUPS_SHOWN", "PLAIN", "QUERY_FIELDS", "SKIP_HINT", "BoundedDict",
    "FailureGroup", "FailureGroups", "FlowAnalysis", "FlowTypes", "Journal", "LocatedReference", "OutcomeFormat",
    "OutputDecoder", "ResolvedInput", "RunQuery", "RunReader", "RunUpdate", "RunWatcher", "ServerConfig",
    "SnapshotReader", "StepTypes", "add_env_variables", "add_hint_from_explanation", "add_hints_and_fixes",
    "apply_patch", "async_compute", "build_initial_progress", "check_and_complete_arguments", "check_json",
    "check_run_id", "check_source", "check_text", "collect_examples", "compute_deadline", "deadline_scope",
    "describe_certificate_problem", "expectation_of", "explain_missing_file", "find_nearest",
    "find_recovery_warnings", "find_run_error_hint", "find_value_changes", "format_junit_xml", "format_type",
    "get_logger", "get_refused_hint", "get_stepflow_user_folder", "get_subflow_node", "group_failures",
    "infer_flow_types", "infer_from_flow_text", "infer_input_from_uses", "infer_variable_type", "install_command",
    "is_data_object", "is_loopback", "is_read_once", "iter_outcome_records", "list_server_aliases",
    "listening_to_server_logs", "listening_to_warnings", "look_up_reference", "make_excerpt", "make_merge_patch",
    "make_outcome_dict", "make_suppression_check", "make_validation_result", "parse_declared_variables",
    "parse_run_arguments", "parse_run_query", "parse_tests", "parse_timeout", "parse_toml", "parse_url",
    "pause_garbage_collector", "quote_word", "read_environment_settings", "remove_cases", "resolve_output_format",
    "suggest_nearest", "suggest_nearest_file", "suggest_or_list", "sync_gather", "to_json", "unify_overrides",
    "write_yaml",
]  # fmt: skip

__getattr__, __dir__ = make_lazy_exports(
    __name__,
    {
        "._async.run_reader": ["RunReader"],
        "._async.snapshot_reader": ["SnapshotReader"],
        "._async.agent_tools": ["add_hint_from_explanation"],
        "._async.watching": ["RunWatcher"],
        "._base.bounded_dict": ["BoundedDict"],
        "._base.logging": ["listening_to_warnings", "get_logger"],
        "._base.gc_pauses_and_slices": ["pause_garbage_collector"],
        "._base.suggestions": [
            "find_nearest", "suggest_nearest", "suggest_or_list", "install_command", "explain_missing_file",
            "suggest_nearest_file",
        ],
        "._cases.expected_output_updates": ["expectation_of"],
        "._cases.flow_cases": ["parse_tests"],
        "._cases.mock_outcomes": ["make_outcome_dict"],
        "._checks.checker": ["make_excerpt", "check_source", "make_validation_result", "make_suppression_check"],
        "._checks.steps_and_references": ["FlowAnalysis", "LocatedReference", "get_subflow_node"],
        "._checks.inferred_flow": ["infer_from_flow_text"],
        "._checks.type_comparison": ["format_type"],
        "._checks.type_inference": [
            "look_up_reference", "infer_variable_type", "FlowTypes", "StepTypes", "infer_input_from_uses",
            "infer_flow_types",
        ],
        "._codec.call_checks": [
            "check_run_id", "check_and_complete_arguments", "add_env_variables", "parse_run_arguments",
            "parse_declared_variables",
        ],
        "._concurrency": ["async_compute", "sync_gather"],
        "._data.arguments": ["check_text"],
        "._data.json_encoding": ["is_data_object"],
        "._data.toml_reader": ["parse_toml"],
        "._data.wire": [
            "make_merge_patch", "apply_patch", "check_json", "to_json", "unify_overrides", "PLAIN", "OutputDecoder",
        ],
        "._data.yaml_format": ["write_yaml"],
        "._editing.finding_fixes": ["add_hints_and_fixes"],
        "._embedded.config": ["ServerConfig", "is_read_once", "find_recovery_warnings"],
        "._embedded.server_logs": ["listening_to_server_logs"],
        "._http.connecting": ["describe_certificate_problem"],
        "._http.settings": ["parse_timeout", "is_loopback", "read_environment_settings", "parse_url"],
        "._records.inputs": ["SKIP_HINT"],
        "._records.junit_xml": ["format_junit_xml"],
        "._records.outcome_files": ["OutcomeFormat", "resolve_output_format", "iter_outcome_records"],
        "._rules.failure_groups": ["FailureGroup", "FailureGroups", "MAX_GROUPS_SHOWN", "group_failures"],
        "._rules.run_queries": ["QUERY_FIELDS", "RunQuery", "quote_word", "parse_run_query"],
        "._rules.deadlines": ["compute_deadline", "deadline_scope"],
        "._rules.transport_errors": ["ANOTHER_SERVICE", "get_refused_hint"],
        "._runs.component_input_hints": ["find_run_error_hint", "ResolvedInput"],
        "._runs.run_differences": ["ABSENT", "find_value_changes"],
        "._runs.strip_and_restore_flow": ["collect_examples", "remove_cases"],
        "._stores.batch_journal": ["Journal"],
        "._stores.atomic_file_writes": ["get_stepflow_user_folder"],
        "._sync.snapshot_reader": ["build_initial_progress"],
        "._sync.watching": ["RunUpdate"],
        "._telemetry.history_recorder": ["list_server_aliases"],
    },
)  # fmt: skip
