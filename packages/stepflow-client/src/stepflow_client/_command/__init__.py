"""The private names the CLI uses. It imports from no other private module."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .._base.lazy import make_lazy_exports

if TYPE_CHECKING:
    from .._async.runs import RunReader as RunReader
    from .._async.snapshot_reader import SnapshotReader as SnapshotReader
    from .._async.tools import add_account_hint as add_account_hint
    from .._async.watching import RunWatcher as RunWatcher
    from .._base.bounded_dict import BoundedDict as BoundedDict
    from .._base.logging import get_logger as get_logger, listen_to_warnings as listen_to_warnings
    from .._base.long_computations import pause_garbage_collector as pause_garbage_collector
    from .._base.suggestions import (
        explain_missing_file as explain_missing_file,
        install_command as install_command,
        suggest_nearest_file as suggest_nearest_file,
    )
    from .._cases.expected_outputs import expectation_of as expectation_of, find_value_edits as find_value_edits
    from .._cases.flow_cases import flow_result as flow_result, is_lost as is_lost, parse_tests as parse_tests
    from .._cases.selection import list_ids_and_components as list_ids_and_components
    from .._checks.checker import (
        check_config as check_config,
        check_source as check_source,
        make_excerpt as make_excerpt,
        make_result as make_result,
        make_suppression_check as make_suppression_check,
    )
    from .._checks.flow_analysis import (
        FlowAnalysis as FlowAnalysis,
        Read as Read,
        find_subflow as find_subflow,
        get_subflow_node as get_subflow_node,
    )
    from .._checks.inferred_flow import infer_from_text as infer_from_text
    from .._checks.type_comparison import format_type as format_type
    from .._checks.type_inference import (
        FlowTypes as FlowTypes,
        StepTypes as StepTypes,
        infer_flow_types as infer_flow_types,
        infer_input_from_uses as infer_input_from_uses,
        infer_variable_type as infer_variable_type,
        look_up_reference as look_up_reference,
    )
    from .._codec.requests import (
        add_env_variables as add_env_variables,
        check_run_id as check_run_id,
        complete_arguments as complete_arguments,
        parse_declared_variables as parse_declared_variables,
        parse_run_arguments as parse_run_arguments,
    )
    from .._concurrency import async_run_check as async_run_check, sync_gather as sync_gather
    from .._data.arguments import check_text as check_text
    from .._data.json_encoding import is_data_object as is_data_object
    from .._data.toml_reader import parse_toml as parse_toml
    from .._data.values import (
        PLAIN as PLAIN,
        OutputDecoder as OutputDecoder,
        apply_patch as apply_patch,
        check_json as check_json,
        encode as encode,
        make_merge_patch as make_merge_patch,
        merge_overrides as merge_overrides,
    )
    from .._data.yaml_format import find_open_marks as find_open_marks, write_yaml as write_yaml
    from .._editing.corrections import correct_flow as correct_flow, make_edit as make_edit
    from .._embedded.config import (
        ServerConfig as ServerConfig,
        find_recovery_warnings as find_recovery_warnings,
        is_read_once as is_read_once,
    )
    from .._embedded.log_pump import listen_to_lines as listen_to_lines
    from .._http.connecting import describe_certificate_problem as describe_certificate_problem
    from .._http.settings import (
        check_timeout as check_timeout,
        is_loopback as is_loopback,
        parse_url as parse_url,
        read_environment_settings as read_environment_settings,
    )
    from .._records.inputs import SKIP_HINT as SKIP_HINT
    from .._records.junit_xml import format_junit_xml as format_junit_xml
    from .._records.outcome_files import (
        OutcomeFormat as OutcomeFormat,
        read_outcomes as read_outcomes,
        resolve_output_format as resolve_output_format,
    )
    from .._rules.failure_groups import (
        MAX_GROUPS_SHOWN as MAX_GROUPS_SHOWN,
        FailureGroup as FailureGroup,
        FailureGroups as FailureGroups,
        group_failures as group_failures,
    )
    from .._rules.run_progress import (
        BatchCount as BatchCount,
        ItemTime as ItemTime,
        ItemTimes as ItemTimes,
        StepTime as StepTime,
        StepTimes as StepTimes,
    )
    from .._rules.run_search import (
        QUERY_FIELDS as QUERY_FIELDS,
        RunQuery as RunQuery,
        parse_run_query as parse_run_query,
        quote_word as quote_word,
    )
    from .._rules.timeouts import compute_deadline as compute_deadline, deadline_scope as deadline_scope
    from .._rules.transport_errors import ANOTHER_SERVICE as ANOTHER_SERVICE, get_refused_hint as get_refused_hint
    from .._runs.causes import ItemFailureTracer as ItemFailureTracer
    from .._runs.failure_hints import FailureHintFinder as FailureHintFinder, ResolvedInput as ResolvedInput
    from .._runs.initial_progress import build_progress as build_progress
    from .._runs.run_differences import ABSENT as ABSENT, find_value_changes as find_value_changes
    from .._runs.stored_flow import (
        collect_examples as collect_examples,
        convert_to_stored_form as convert_to_stored_form,
        remove_cases as remove_cases,
    )
    from .._stores.journal import Journal as Journal
    from .._stores.user_folders import user_folder as user_folder
    from .._sync.watching import RunUpdate as RunUpdate
    from .._telemetry.recorder import list_server_aliases as list_server_aliases
    from ..testing.case_runs import may_execute as may_execute
    from ..types.statuses import is_given_up as is_given_up

__getattr__, __dir__ = make_lazy_exports(
    __name__,
    {
        "._async.runs": ["RunReader"],
        "._async.snapshot_reader": ["SnapshotReader"],
        "._async.tools": ["add_account_hint"],
        "._async.watching": ["RunWatcher"],
        "._base.long_computations": ["pause_garbage_collector"],
        "._base.suggestions": ["install_command", "explain_missing_file", "suggest_nearest_file"],
        "._base.bounded_dict": ["BoundedDict"],
        "._base.logging": ["listen_to_warnings", "get_logger"],
        "._cases.expected_outputs": ["find_value_edits", "expectation_of"],
        "._cases.flow_cases": ["is_lost", "parse_tests", "flow_result"],
        "._cases.selection": ["list_ids_and_components"],
        "._checks.checker": ["make_excerpt", "check_source", "check_config", "make_result", "make_suppression_check"],
        "._checks.type_inference": [
            "look_up_reference",
            "infer_variable_type",
            "FlowTypes",
            "StepTypes",
            "infer_input_from_uses",
            "infer_flow_types",
        ],
        "._checks.flow_analysis": ["FlowAnalysis", "Read", "find_subflow", "get_subflow_node"],
        "._checks.inferred_flow": ["infer_from_text"],
        "._checks.type_comparison": ["format_type"],
        "._codec.requests": [
            "check_run_id",
            "complete_arguments",
            "add_env_variables",
            "parse_run_arguments",
            "parse_declared_variables",
        ],
        "._concurrency": ["async_run_check", "sync_gather"],
        "._data.arguments": ["check_text"],
        "._data.values": [
            "make_merge_patch",
            "apply_patch",
            "check_json",
            "encode",
            "merge_overrides",
            "PLAIN",
            "OutputDecoder",
        ],
        "._data.json_encoding": ["is_data_object"],
        "._rules.run_search": ["QUERY_FIELDS", "RunQuery", "quote_word", "parse_run_query"],
        "._data.toml_reader": ["parse_toml"],
        "._data.yaml_format": ["find_open_marks", "write_yaml"],
        "._editing.corrections": ["correct_flow", "make_edit"],
        "._embedded.config": ["ServerConfig", "is_read_once", "find_recovery_warnings"],
        "._embedded.log_pump": ["listen_to_lines"],
        "._http.settings": ["check_timeout", "is_loopback", "read_environment_settings", "parse_url"],
        "._http.connecting": ["describe_certificate_problem"],
        "._records.inputs": ["SKIP_HINT"],
        "._records.junit_xml": ["format_junit_xml"],
        "._records.outcome_files": ["OutcomeFormat", "resolve_output_format", "read_outcomes"],
        "._rules.run_progress": ["BatchCount", "ItemTime", "ItemTimes", "StepTime", "StepTimes"],
        "._rules.timeouts": ["compute_deadline", "deadline_scope"],
        ".types.statuses": ["is_given_up"],
        "._rules.failure_groups": ["FailureGroup", "FailureGroups", "MAX_GROUPS_SHOWN", "group_failures"],
        "._rules.transport_errors": ["ANOTHER_SERVICE", "get_refused_hint"],
        "._runs.stored_flow": ["convert_to_stored_form", "collect_examples", "remove_cases"],
        "._runs.causes": ["ItemFailureTracer"],
        "._runs.initial_progress": ["build_progress"],
        "._runs.failure_hints": ["FailureHintFinder", "ResolvedInput"],
        "._runs.run_differences": ["ABSENT", "find_value_changes"],
        "._stores.journal": ["Journal"],
        "._stores.user_folders": ["user_folder"],
        "._sync.watching": ["RunUpdate"],
        "._telemetry.recorder": ["list_server_aliases"],
        ".testing.case_runs": ["may_execute"],
    },
)
