"""JSON that is put together from a template is the JSON of the value it stands for."""

from __future__ import annotations

import json

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from lictor.model import process as model
from lictor.model.forms import Own, Template, TemplateForms, WholeForms

text = st.text(max_size=40)
capabilities = st.none() | st.just(model.Capabilities(("CAP_CHOWN",), (), ()))
templates = st.builds(
    Template,
    st.builds(
        model.Process,
        uid=st.none() | st.integers(0, 2**32 - 1),
        cwd=text,
        binary=text,
        flags=text,
        auid=st.none() | st.integers(0, 2**32 - 1),
        docker=text,
        cap=capabilities,
        ns=st.none() | st.just(model.Namespaces(uts=model.Namespace(1, True))),
        process_credentials=st.none() | st.just(model.ProcessCredentials(uid=0)),
        binary_properties=st.none() | st.just(model.BinaryProperties(setuid=0)),
        in_init_tree=st.none() | st.booleans(),
    ),
    st.none() | st.builds(model.ProcessExtra, executable=text, cgroup=text, tty=text),
)
owns = st.none() | st.builds(
    Own,
    st.lists(st.builds(model.EnvVar, text, text), max_size=2).map(tuple),
    st.integers(0, 10),
    st.lists(text, max_size=2).map(tuple),
)


@given(templates, st.integers(0, 2**22), text, owns)
def test_forms_of_a_template(template: Template, pid: int, arguments: str, own: Own | None) -> None:
    forms = TemplateForms(template, "aWQ=", pid, "2026-11-23T07:10:15Z", "cGFyZW50", arguments, own)
    assert list(json.loads(forms.json()).items()) == list(json.loads(msgspec.json.encode(forms.process)).items())
    assert forms.extra_json() == WholeForms(forms.process, forms.extra).extra_json()
    assert (forms.process.pid, forms.process.tid, forms.process.arguments) == (pid, pid, arguments)
