"""Compact lines of hook events: the recorded ones, one row per well-known function, and text from outside."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lictor.cli.compact import Compact

RECORDED = [
    json.loads(line) for line in (Path(__file__).parents[1] / "contract" / "hook-events.jsonl").read_text().splitlines()
]
HOST = os.uname().nodename
SYSCALL = {"syscall_id": {"id": 137, "abi": "x64"}}
FILE = {"file_arg": {"path": "/etc/shadow"}}
SOCK = {
    "sock_arg": {"protocol": "IPPROTO_TCP", "saddr": "10.0.0.1", "sport": 4000, "daddr": "2001:db8::1", "dport": 443}
}


def line(kind: str, body: dict[str, Any], **options: bool) -> str:
    process = {"pid": 7, "uid": 0, "binary": "/bin/x"}
    text = Compact(**options).line({kind: {"process": process, **body}})
    return text.replace(f" {HOST} root 7 /bin/x", " @")


def kprobe(function: str, *arguments: dict[str, Any], **more: Any) -> str:
    return line("process_kprobe", {"function_name": function, "args": list(arguments), **more})


@pytest.mark.parametrize("event", RECORDED, ids=lambda one: next(iter(one)))
def test_recorded_events(event: dict[str, Any]) -> None:
    text = Compact().line(event)
    body = event[next(iter(event))]
    assert body["process"]["binary"] in text
    assert str(body["process"]["pid"]) in text
    assert "\n" not in text


@pytest.mark.parametrize(
    ("said", "wanted"),
    [
        (kprobe("fd_install", {"int_arg": 3}, FILE), "📬 open    @ /etc/shadow"),
        (kprobe("__x64_sys_openat", {"int_arg": -100}, {"string_arg": "/a b"}), '📬 open    @ "/a b"'),
        (kprobe("__x64_sys_openat", {"string_arg": "/etc/shadow"}), "📬 open    @ /etc/shadow"),
        (kprobe("__x64_sys_close", {"int_arg": 3}), "📪 close   @ 3"),
        (kprobe("__x64_sys_write", FILE, {"bytes_arg": "eA=="}, {"size_arg": "5"}), "📝 write   @ /etc/shadow 5 bytes"),
        (kprobe("__arm64_sys_read", FILE), "📚 read    @ /etc/shadow"),
        (kprobe("__x64_sys_mount", {"string_arg": "a"}, {"string_arg": "/b"}), "💾 mount   @ a /b"),
        (kprobe("__x64_sys_setuid", {"int_arg": 0}), "🔑 setuid  @ 0"),
        (kprobe("__x64_sys_setns", {"int_arg": 4}, {"int_arg": 0x40020000}), "🔧 setns   @ mnt net"),
        (kprobe("tcp_connect", SOCK), "🔌 connect @ tcp 10.0.0.1:4000 -> [2001:db8::1]:443"),
        (kprobe("tcp_sendmsg", SOCK, {"int_arg": 9}), "📤 sendmsg @ tcp 10.0.0.1:4000 -> [2001:db8::1]:443 9 bytes"),
        (kprobe("security_file_permission", FILE, {"int_arg": 4}), "📚 read    @ /etc/shadow"),
        (kprobe("security_file_permission", FILE, {"int_arg": 2}), "📝 write   @ /etc/shadow"),
        (
            kprobe("security_file_permission", FILE, {"int_arg": 1}),
            "❓ call    @ security_file_permission(/etc/shadow, 1)",
        ),
        (kprobe("security_mmap_file", FILE, {"uint_arg": 5}), "📝 mmap-rx @ /etc/shadow"),
        (
            kprobe("bpf_check", {"bpf_attr_arg": {"ProgType": "BPF_PROG_TYPE_XDP", "ProgName": "p"}}),
            "🐝 bpf_load @ BPF_PROG_TYPE_XDP p",
        ),
        (
            kprobe("__x64_sys_prctl", {"int_arg": 1, "label": "option"}, **{"return": {"int_arg": -1}}),
            "❓ syscall @ __x64_sys_prctl(option=1) = -1",
        ),
        (
            kprobe("f", FILE, action="KPROBE_ACTION_SIGKILL", return_action="KPROBE_ACTION_POST"),
            "❓ call    @ f(/etc/shadow) [SIGKILL]",
        ),
        (kprobe("f", message="why\nnot"), "❓ call    @ f() # why\\nnot"),
        (kprobe("f", {"error_arg": {"Message": "bad address"}}), '❓ call    @ f(<"bad address">)'),
        (
            kprobe("f", {"truncated_bytes_arg": {"bytes_arg": "YWI=", "orig_size": "900"}}),
            '❓ call    @ f("ab" of 900 bytes)',
        ),
        (
            line("process_tracepoint", {"subsys": "raw_syscalls", "event": "sys_enter", "args": [SYSCALL]}),
            "☎ syscall @ statfs",
        ),
        (line("process_tracepoint", {"subsys": "a", "event": "b", "args": [{"int_arg": 1}]}), "⁉️ tracepoint @ a b 1"),
        (line("process_uprobe", {"path": "/bin/bash", "symbol": "main"}), "🕵️ uprobe  @ /bin/bash main"),
        (line("process_usdt", {"path": "/l", "provider": "p", "name": "n"}), "🕵️ usdt    @ /l p n"),
        (line("process_lsm", {"function_name": "file_open", "args": [FILE]}), "🔒 LSM     @ file_open /etc/shadow"),
        (line("process_loader", {"path": "/lib/a.so", "buildid": "AP8="}), "🧬 loader  @ AP8= /lib/a.so"),
    ],
)  # fmt: skip
def test_rows(said: str, wanted: str) -> None:
    assert said == wanted


def test_throttle() -> None:
    event = {"process_throttle": {"type": "THROTTLE_START", "cgroup": "/a"}}
    assert Compact().line(event) == "🧬 throttle START /a"


def test_stacks_and_hashes_are_below_and_can_be_left_out() -> None:
    frame = {"address": "255", "offset": "16", "symbol": "do_x", "module": "m"}
    body = {"function_name": "f", "kernel_stack_trace": [frame], "ima_hash": "sha256:00"}
    assert line("process_kprobe", body).endswith("f()\n  Kernel:\n    0xff: do_x+0x10 (m)\n  IMA: sha256:00")
    assert line("process_kprobe", body, stack_traces=False, ima_hash=False).endswith("f()")


def test_a_privileged_process_is_marked() -> None:
    event = {"process_exec": {"process": {"pid": 1, "binary": "/a", "cap": {"permitted": ["CAP_SYS_ADMIN"]}}}}
    assert Compact().line(event).endswith("🛑 CAP_SYS_ADMIN")


_JSON = st.recursive(
    st.text(max_size=8) | st.integers(), lambda inner: st.dictionaries(st.text(max_size=4), inner, max_size=2)
)


@given(st.text(), st.text(), st.dictionaries(st.text(max_size=5), _JSON, max_size=3))
def test_nothing_from_outside_controls_the_terminal(function: str, text: str, value: dict[str, Any]) -> None:
    arguments = [{"string_arg": text}, {"path_arg": {"path": text}}, {"sock_arg": {"saddr": text, "protocol": text}}]
    body = {"function_name": function, "args": [*arguments, {"new_arg": value, "label": text}], "message": text}
    assert line("process_kprobe", body).replace("\ufe0f", "").isprintable()
