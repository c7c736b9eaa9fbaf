"""Which events a reader wants: allow and deny lists with the reference's meaning.

The values of one field are alternatives, the fields of one filter must all hold, and any filter of a list is
enough. An event passes when the allow list is empty or matches, and the deny list does not.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial

from lictor import regex
from lictor.errors import LictorError
from lictor.model.event import Event, EventType, LossEvent
from lictor.model.forms import ProcessForms
from lictor.model.hook import HookEvent
from lictor.model.process import Capabilities, Pod
from lictor.pipeline.labels import compile_selector

Predicate = Callable[[Event], bool]
ExpressionCompiler = Callable[[str], Predicate]
"""Compiles a CEL expression over an event's message; raises LictorError for one that is wrong."""


@dataclass(frozen=True, slots=True)
class CapabilityTest:
    """What a set of capabilities must be like, by names; an empty part says nothing."""

    any: frozenset[str] = frozenset()
    all: frozenset[str] = frozenset()
    exactly: frozenset[str] | None = None
    none: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class CapabilityFilter:
    permitted: CapabilityTest | None = None
    effective: CapabilityTest | None = None
    inheritable: CapabilityTest | None = None


@dataclass(frozen=True, slots=True)
class EventFilter:
    """One filter: the fields of `tetragon.Filter`. Empty fields say nothing.

    Regular expressions are RE2, found anywhere in the text. `namespace` "" is that of processes outside of pods;
    `pid_set` also takes the descendants; `labels` are selectors.
    """

    binary_regex: tuple[str, ...] = ()
    namespace: tuple[str, ...] = ()
    health_check: bool | None = None
    pid: tuple[int, ...] = ()
    pid_set: tuple[int, ...] = ()
    event_set: tuple[EventType, ...] = ()
    pod_regex: tuple[str, ...] = ()
    arguments_regex: tuple[str, ...] = ()
    labels: tuple[str, ...] = ()
    policy_names: tuple[str, ...] = ()
    capabilities: CapabilityFilter | None = None
    parent_binary_regex: tuple[str, ...] = ()
    cel_expression: tuple[str, ...] = ()
    parent_arguments_regex: tuple[str, ...] = ()
    container_id: tuple[str, ...] = ()
    in_init_tree: bool | None = None
    ancestor_binary_regex: tuple[str, ...] = ()
    container_name_regex: tuple[str, ...] = ()
    namespace_regex: tuple[str, ...] = ()


def everything(_event: Event) -> bool:
    return True


def no_expressions(_text: str) -> Predicate:
    """For readers who have no compiler of CEL."""
    raise LictorError("cel_expression is not available here", "filter by it in the agent")


def compile_filters(
    allow: Sequence[EventFilter], deny: Sequence[EventFilter], expressions: ExpressionCompiler = no_expressions
) -> Predicate:
    """The predicate of an allow and a deny list. An event that tells of losses always passes.

    Raises LictorError for a regular expression, a selector or an expression that is wrong.
    """
    allowed = [_compile(one, expressions) for one in allow]
    denied = [_compile(one, expressions) for one in deny]
    if not allowed and not denied:
        return everything

    def wanted(event: Event) -> bool:
        if isinstance(event, LossEvent):
            return True
        if allowed and not any(matches(event) for matches in allowed):
            return False
        return not any(matches(event) for matches in denied)

    return wanted


def _compile(one: EventFilter, expressions: ExpressionCompiler) -> Predicate:
    """Cheap tests come first: the order of `_FIELDS`."""
    tests: list[Predicate] = []
    for name, make in _FIELDS.items():
        given = getattr(one, name)
        if given not in ((), None):
            tests.append(make(given))
    if one.cel_expression:
        programs = [expressions(text) for text in one.cel_expression]
        tests.append(lambda event: any(program(event) for program in programs))
    if len(tests) == 1:
        return tests[0]
    return lambda event: all(test(event) for test in tests)


Test = Callable[[ProcessForms], bool]


def _of_process(test: Test) -> Predicate:
    return lambda event: event.process is not None and test(event.process)


def _of_parent(test: Test) -> Predicate:
    return lambda event: event.parent is not None and test(event.parent)


def _of_pod(test: Callable[[Pod], bool]) -> Predicate:
    """Never holds for a process outside of pods."""
    return _of_process(lambda forms: forms.shared.pod is not None and test(forms.shared.pod))


def _of_ancestor(test: Test) -> Predicate:
    """Any image above the parent, as in the field `ancestors`."""
    return _of_process(lambda forms: any(test(one) for one in forms.ancestors()))


def _event_set(kinds: Iterable[EventType]) -> Predicate:
    wanted = frozenset(kinds)
    return lambda event: event.kind in wanted


def _pid(numbers: Iterable[int]) -> Predicate:
    wanted = frozenset(numbers)
    return _of_process(lambda forms: forms.pid in wanted)


def _pid_set(numbers: Iterable[int]) -> Predicate:
    wanted = frozenset(numbers)

    def inside(forms: ProcessForms) -> bool:
        one: ProcessForms | None = forms
        while one is not None and one.pid not in wanted:
            one = one.above
        return one is not None

    return _of_process(inside)


def _namespace(names: Iterable[str]) -> Predicate:
    wanted = frozenset(names)
    return _of_process(lambda forms: (forms.shared.pod.namespace if forms.shared.pod else "") in wanted)


def _health_check(wanted: bool) -> Predicate:
    def probes(forms: ProcessForms) -> bool:
        pod = forms.shared.pod
        return (pod is not None and pod.container is not None and pod.container.maybe_exec_probe) == wanted

    return _of_process(probes)


def _policy_names(names: Iterable[str]) -> Predicate:
    wanted = frozenset(names)
    return lambda event: isinstance(event, HookEvent) and getattr(event.body, "policy_name", None) in wanted


def _labels(selectors: Iterable[str]) -> Predicate:
    compiled = [compile_selector(one) for one in selectors]
    return _of_pod(lambda pod: any(matches(pod.pod_labels) for matches in compiled))


def _capabilities(wanted: CapabilityFilter) -> Predicate:
    tests = [(name, test) for name in ("permitted", "effective", "inheritable") if (test := getattr(wanted, name))]

    def holds(forms: ProcessForms) -> bool:
        found = forms.shared.cap
        return found is not None and all(_capable(found, name, test) for name, test in tests)

    return _of_process(holds)


def _capable(found: Capabilities, name: str, test: CapabilityTest) -> bool:
    has = frozenset(getattr(found, name))
    return (
        (not test.any or bool(has & test.any))
        and has >= test.all
        and (test.exactly is None or has == test.exactly)
        and not has & test.none
    )


def _matcher(patterns: Iterable[str]) -> Callable[[str], bool]:
    """Whether any of the patterns is found in a text."""
    searches = [regex.compile(pattern).search for pattern in patterns]
    if len(searches) == 1:
        return lambda text: searches[0](text) is not None
    return lambda text: any(search(text) for search in searches)


def _regexes(scope: Callable[[Test], Predicate], text: Callable[[ProcessForms], str]) -> Callable[..., Predicate]:
    def make(patterns: Iterable[str]) -> Predicate:
        found = _matcher(patterns)
        return scope(lambda forms: found(text(forms)))

    return make


def _pod_regexes(text: Callable[[Pod], str], patterns: Iterable[str]) -> Predicate:
    found = _matcher(patterns)
    return _of_pod(lambda pod: found(text(pod)))


def _binary(forms: ProcessForms) -> str:
    return forms.shared.binary


def _arguments(forms: ProcessForms) -> str:
    return forms.arguments


_FIELDS: dict[str, Callable[..., Predicate]] = {
    "event_set": _event_set,
    "pid": _pid,
    "in_init_tree": lambda wanted: _of_process(lambda forms: bool(forms.shared.in_init_tree) == wanted),
    "policy_names": _policy_names,
    "namespace": _namespace,
    "health_check": _health_check,
    "capabilities": _capabilities,
    "pid_set": _pid_set,
    "labels": _labels,
    "namespace_regex": partial(_pod_regexes, lambda pod: pod.namespace),
    "pod_regex": partial(_pod_regexes, lambda pod: pod.name),
    "container_name_regex": partial(_pod_regexes, lambda pod: pod.container.name if pod.container else ""),
    "container_id": _regexes(_of_process, lambda forms: forms.shared.docker),
    "binary_regex": _regexes(_of_process, _binary),
    "arguments_regex": _regexes(_of_process, _arguments),
    "parent_binary_regex": _regexes(_of_parent, _binary),
    "parent_arguments_regex": _regexes(_of_parent, _arguments),
    "ancestor_binary_regex": _regexes(_of_ancestor, _binary),
}
