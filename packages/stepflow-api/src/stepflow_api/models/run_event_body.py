# Written by `make generate` from the OpenAPI description. Do not edit; edit that and run it again.
from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, TypeVar

from attrs import define as _attrs_define
from attrs import field as _attrs_field

from ..types import UNSET, Unset

if TYPE_CHECKING:
    from ..models.run_completed import RunCompleted
    from ..models.run_created import RunCreated
    from ..models.step_completed import StepCompleted
    from ..models.step_ready import StepReady
    from ..models.step_started import StepStarted
    from ..models.steps_needed import StepsNeeded
    from ..models.sub_run_created import SubRunCreated


T = TypeVar("T", bound="RunEventBody")


@_attrs_define
class RunEventBody:
    """What happened - an object with exactly one property, whose name is the kind of event. Later servers may send other
    names; ignore what you do not know.

    """

    run_created: RunCreated | Unset = UNSET
    """ The run was created. """
    steps_needed: StepsNeeded | Unset = UNSET
    """ Which steps an item's output needs; others are not executed. """
    step_ready: StepReady | Unset = UNSET
    """ All steps that this one waits for have ended. """
    step_started: StepStarted | Unset = UNSET
    """ A step was given to its component. """
    step_completed: StepCompleted | Unset = UNSET
    """ A step ended. Why it failed is not told here; read the run's items or steps. """
    run_completed: RunCompleted | Unset = UNSET
    """ The run ended. """
    sub_run_created: SubRunCreated | Unset = UNSET
    """ A step started a run of another flow. Sent only if sub-runs were asked for. """
    additional_properties: dict[str, Any] = _attrs_field(init=False, factory=dict)

    def to_dict(self) -> dict[str, Any]:
        run_created: dict[str, Any] | Unset = UNSET
        if not isinstance(self.run_created, Unset):
            run_created = self.run_created.to_dict()

        steps_needed: dict[str, Any] | Unset = UNSET
        if not isinstance(self.steps_needed, Unset):
            steps_needed = self.steps_needed.to_dict()

        step_ready: dict[str, Any] | Unset = UNSET
        if not isinstance(self.step_ready, Unset):
            step_ready = self.step_ready.to_dict()

        step_started: dict[str, Any] | Unset = UNSET
        if not isinstance(self.step_started, Unset):
            step_started = self.step_started.to_dict()

        step_completed: dict[str, Any] | Unset = UNSET
        if not isinstance(self.step_completed, Unset):
            step_completed = self.step_completed.to_dict()

        run_completed: dict[str, Any] | Unset = UNSET
        if not isinstance(self.run_completed, Unset):
            run_completed = self.run_completed.to_dict()

        sub_run_created: dict[str, Any] | Unset = UNSET
        if not isinstance(self.sub_run_created, Unset):
            sub_run_created = self.sub_run_created.to_dict()

        field_dict: dict[str, Any] = {}
        field_dict.update(self.additional_properties)
        field_dict.update({})
        if run_created is not UNSET:
            field_dict["RunCreated"] = run_created
        if steps_needed is not UNSET:
            field_dict["StepsNeeded"] = steps_needed
        if step_ready is not UNSET:
            field_dict["StepReady"] = step_ready
        if step_started is not UNSET:
            field_dict["StepStarted"] = step_started
        if step_completed is not UNSET:
            field_dict["StepCompleted"] = step_completed
        if run_completed is not UNSET:
            field_dict["RunCompleted"] = run_completed
        if sub_run_created is not UNSET:
            field_dict["SubRunCreated"] = sub_run_created

        return field_dict

    @classmethod
    def from_dict(cls: type[T], src_dict: Mapping[str, Any]) -> T:
        from ..models.run_completed import RunCompleted  # noqa: PLC0415
        from ..models.run_created import RunCreated  # noqa: PLC0415
        from ..models.step_completed import StepCompleted  # noqa: PLC0415
        from ..models.step_ready import StepReady  # noqa: PLC0415
        from ..models.step_started import StepStarted  # noqa: PLC0415
        from ..models.steps_needed import StepsNeeded  # noqa: PLC0415
        from ..models.sub_run_created import SubRunCreated  # noqa: PLC0415

        d = dict(src_dict)
        _run_created = d.pop("RunCreated", UNSET)
        run_created: RunCreated | Unset
        if isinstance(_run_created, Unset):
            run_created = UNSET
        else:
            run_created = RunCreated.from_dict(_run_created)

        _steps_needed = d.pop("StepsNeeded", UNSET)
        steps_needed: StepsNeeded | Unset
        if isinstance(_steps_needed, Unset):
            steps_needed = UNSET
        else:
            steps_needed = StepsNeeded.from_dict(_steps_needed)

        _step_ready = d.pop("StepReady", UNSET)
        step_ready: StepReady | Unset
        if isinstance(_step_ready, Unset):
            step_ready = UNSET
        else:
            step_ready = StepReady.from_dict(_step_ready)

        _step_started = d.pop("StepStarted", UNSET)
        step_started: StepStarted | Unset
        if isinstance(_step_started, Unset):
            step_started = UNSET
        else:
            step_started = StepStarted.from_dict(_step_started)

        _step_completed = d.pop("StepCompleted", UNSET)
        step_completed: StepCompleted | Unset
        if isinstance(_step_completed, Unset):
            step_completed = UNSET
        else:
            step_completed = StepCompleted.from_dict(_step_completed)

        _run_completed = d.pop("RunCompleted", UNSET)
        run_completed: RunCompleted | Unset
        if isinstance(_run_completed, Unset):
            run_completed = UNSET
        else:
            run_completed = RunCompleted.from_dict(_run_completed)

        _sub_run_created = d.pop("SubRunCreated", UNSET)
        sub_run_created: SubRunCreated | Unset
        if isinstance(_sub_run_created, Unset):
            sub_run_created = UNSET
        else:
            sub_run_created = SubRunCreated.from_dict(_sub_run_created)

        run_event_body = cls(
            run_created=run_created,
            steps_needed=steps_needed,
            step_ready=step_ready,
            step_started=step_started,
            step_completed=step_completed,
            run_completed=run_completed,
            sub_run_created=sub_run_created,
        )

        run_event_body.additional_properties = d
        return run_event_body

    @property
    def additional_keys(self) -> list[str]:
        return list(self.additional_properties.keys())

    def __getitem__(self, key: str) -> Any:
        return self.additional_properties[key]

    def __setitem__(self, key: str, value: Any) -> None:
        self.additional_properties[key] = value

    def __delitem__(self, key: str) -> None:
        del self.additional_properties[key]

    def __contains__(self, key: str) -> bool:
        return key in self.additional_properties
