"""Hooks that policies share: the values they read, and the groups that run on them under scope bits."""

from __future__ import annotations

import struct
from dataclasses import dataclass, field

from lictor.errors import LictorError
from lictor.policy.plan import AttachKind, Hook, Purpose, Read, Source
from lictor.sensors.encode import Encoder
from lictor.sensors.store import Store

MAX_VALUES = 16
_WORD = 64

# Flags of a hook (bpf/include/policy.h).
READS_AGAIN, IS_CALL = 1, 2
ENFORCES, DENIES = 16, 32

Key = tuple[str, AttachKind | None, bool]


@dataclass(slots=True)
class SharedHook:
    """A hook in the kernel. `slots`: what a read is packed as -> its slot; `users`: policies' hooks on it."""

    key: Key
    number: int
    users: int = 0
    slots: dict[bytes, int] = field(default_factory=dict)
    readers: dict[int, int] = field(default_factory=dict)  # slot -> users
    elements: dict[int, int] = field(default_factory=dict)  # slot -> element of reads
    masks: dict[int, int] = field(default_factory=dict)  # word -> mask
    blocks: dict[int, int] = field(default_factory=dict)  # word -> element of head_blocks
    heads: dict[int, list[int]] = field(default_factory=dict)  # bit -> groups, the newest first
    enforcing: int = 0  # groups with enforcing actions
    denying: int = 0  # of them, those that deny and are in force
    scoped: int = 0  # groups whose selectors ask for more than SCOPE_ALL


def hook_key(hook: Hook) -> Key:
    """What policies share a hook by: its name, how it is entered, and whether its argument points to registers."""
    entry = next((one.kind for one in hook.attaches if one.purpose is Purpose.ENTRY), None)
    is_call = entry is not AttachKind.SYS_ENTER and any(read.source is Source.SYSCALL for read in hook.reads)
    return hook.name, entry, is_call


class Hooks:
    """The registry. Everything that the kernel follows is changed by single stores, in an order that it can follow."""

    def __init__(self, store: Store, encoder: Encoder) -> None:
        self._store = store
        self._encoder = encoder
        self._hooks: dict[Key, SharedHook] = {}
        self.by_number: dict[int, SharedHook] = {}
        shapes = store.shapes
        self._at = {
            name: shapes.offset("hook_state", name)
            for name in ("words", "scoped", "flags", "mask", "block", "read", "scratch_busy", "unjoined", "waiting")
        }

    def acquire(self, key: Key) -> SharedHook:
        found = self._hooks.get(key)
        if found is None:
            found = SharedHook(key, self._store.free["hooks"].take())
            array = self._store.arrays["hooks"]
            # All but the count of kept calls: those of who had the number before are counted out when they are let go.
            array.write(found.number, bytes(self._at["waiting"]))
            self._set_flags(found)
            self._hooks[key] = self.by_number[found.number] = found
        found.users += 1
        return found

    def release(self, hook: SharedHook) -> bool:
        """Whether that was the last user. Its number is free for another as soon as no link has it as its cookie."""
        hook.users -= 1
        if hook.users:
            return False
        del self._hooks[hook.key]
        del self.by_number[hook.number]
        return True

    def counters(self, hook: SharedHook) -> tuple[int, int]:
        """Runs that found no working memory; matches whose return could not be waited for."""
        raw = self._store.arrays["hooks"].read(hook.number)
        busy, unjoined = (
            int.from_bytes(raw[at : at + 8], "little") for at in (self._at["scratch_busy"], self._at["unjoined"])
        )
        return busy, unjoined

    def give_number(self, number: int) -> None:
        self._store.free["hooks"].give(number)

    def add_read(self, hook: SharedHook, read: Read) -> int:
        """The hook's slot for a value."""
        packed = self._encoder.read(read)
        slot = hook.slots.get(packed)
        if slot is None:
            slot = next((n for n in range(MAX_VALUES) if n not in hook.readers), None)
            if slot is None:
                raise LictorError(
                    f"the policies on {hook.key[0]} read more than {MAX_VALUES} different values",
                    "read fewer, or give them the same types",
                )
            element = self._store.free["reads"].take()
            self._store.arrays["reads"].write(element, packed)
            at = self._at["read"] + 2 * slot
            view = self._store.arrays["hooks"]
            view.view[hook.number * view.stride + at : hook.number * view.stride + at + 2] = struct.pack("<H", element)
            hook.slots[packed] = slot
            hook.elements[slot] = element
            hook.readers[slot] = 0
        hook.readers[slot] += 1
        return slot

    def drop_read(self, hook: SharedHook, slot: int) -> None:
        hook.readers[slot] -= 1
        if not hook.readers[slot]:
            del hook.readers[slot]
            self._store.free["reads"].give(hook.elements.pop(slot))
            hook.slots = {packed: one for packed, one in hook.slots.items() if one != slot}

    def link(self, hook: SharedHook, bit: int, group: int, scoped: bool) -> None:
        """Put a group at the head of the others under its bit. What it needs is written already."""
        store = self._store
        array = store.arrays["hooks"]
        word, place = divmod(bit, _WORD)
        if word not in hook.blocks:
            block = store.free["head_blocks"].take()
            store.arrays["head_blocks"].write(block, bytes(store.arrays["head_blocks"].size))
            hook.blocks[word] = block
            array.store32(hook.number, self._at["block"] + 4 * word, block)
        others = hook.heads.setdefault(bit, [])
        store.arrays["groups"].store32(group, 0, others[0] if others else 0)
        others.insert(0, group)
        store.arrays["head_blocks"].store32(hook.blocks[word], 4 * place, group)
        hook.scoped += scoped
        if hook.scoped:
            array.store32(hook.number, self._at["scoped"], 1)
        self._set_mask(hook, word, hook.masks.get(word, 0) | 1 << place)

    def unlink(self, hook: SharedHook, bit: int, group: int, scoped: bool) -> None:
        """Take a group out of the chain. A run that is on it goes on to those behind it, as before."""
        store = self._store
        word, place = divmod(bit, _WORD)
        others = hook.heads[bit]
        at = others.index(group)
        following = others[at + 1] if at + 1 < len(others) else 0
        if at:
            store.arrays["groups"].store32(others[at - 1], 0, following)
        else:
            store.arrays["head_blocks"].store32(hook.blocks[word], 4 * place, following)
        del others[at]
        if not others:
            del hook.heads[bit]
            self._set_mask(hook, word, hook.masks[word] & ~(1 << place))
        hook.scoped -= scoped
        if not hook.scoped:
            store.arrays["hooks"].store32(hook.number, self._at["scoped"], 0)

    def enforce(self, hook: SharedHook, enforcing: int, denying: int) -> None:
        """Count groups that enforce, and that deny, in or out."""
        hook.enforcing += enforcing
        hook.denying += denying
        self._set_flags(hook)

    def _set_flags(self, hook: SharedHook) -> None:
        flags = IS_CALL if hook.key[2] else READS_AGAIN if hook.key[1] is AttachKind.SYS_ENTER else 0
        flags |= (ENFORCES if hook.enforcing else 0) | (DENIES if hook.denying else 0)
        self._store.arrays["hooks"].store32(hook.number, self._at["flags"], flags)

    def give_blocks(self, hook: SharedHook) -> None:
        """After a grace period: let go of blocks whose word of the mask is empty."""
        for word in [word for word in hook.blocks if not hook.masks.get(word)]:
            self._store.arrays["hooks"].store32(hook.number, self._at["block"] + 4 * word, 0)
            self._store.free["head_blocks"].give(hook.blocks.pop(word))

    def _set_mask(self, hook: SharedHook, word: int, mask: int) -> None:
        hook.masks[word] = mask
        words = sum(1 << one for one, bits in hook.masks.items() if bits)
        array = self._store.arrays["hooks"]
        if mask:
            array.store64(hook.number, self._at["mask"] + 8 * word, mask)
            array.store32(hook.number, self._at["words"], words)
        else:
            array.store32(hook.number, self._at["words"], words)
            array.store64(hook.number, self._at["mask"] + 8 * word, mask)
