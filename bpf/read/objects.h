/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Credentials, capabilities, user namespaces; programs and maps of BPF, perf events, modules. */
#ifndef LICTOR_OBJECTS_H
#define LICTOR_OBJECTS_H

#include "read/field.h"

static __always_inline void read_cred(struct scratch *s, u32 n, u64 raw)
{
	struct field *field = open_field(s, n, TYPE_CRED);
	struct credentials_value *value = (struct credentials_value *)bytes_of_newest(s);
	struct cred *cred = (struct cred *)raw;
	struct user_namespace *ns;

	__builtin_memset(value, 0, sizeof(*value));
	if (bpf_core_read(&value->cred.uid, sizeof(u32), &cred->uid)) {
		failed_field(s, field, EFAULT);
		return;
	}
	value->cred.gid = BPF_CORE_READ(cred, gid.val);
	value->cred.euid = BPF_CORE_READ(cred, euid.val);
	value->cred.egid = BPF_CORE_READ(cred, egid.val);
	value->cred.suid = BPF_CORE_READ(cred, suid.val);
	value->cred.sgid = BPF_CORE_READ(cred, sgid.val);
	value->cred.fsuid = BPF_CORE_READ(cred, fsuid.val);
	value->cred.fsgid = BPF_CORE_READ(cred, fsgid.val);
	value->cred.securebits = BPF_CORE_READ(cred, securebits);
	ns = BPF_CORE_READ(cred, user_ns);
	value->cred.user_ns_level = BPF_CORE_READ(ns, level);
	value->cred.user_ns_uid = BPF_CORE_READ(ns, owner.val);
	value->cred.user_ns_gid = BPF_CORE_READ(ns, group.val);
	value->user_ns = BPF_CORE_READ(ns, ns.inum);
	bpf_core_read(&value->cred.inheritable, sizeof(u64), &cred->cap_inheritable);
	bpf_core_read(&value->cred.permitted, sizeof(u64), &cred->cap_permitted);
	bpf_core_read(&value->cred.effective, sizeof(u64), &cred->cap_effective);
	close_field(s, sizeof(*value));
}

/* A set of capabilities, as a number: where a pointer leads, or of the credentials it leads to. */
static __always_inline void read_capability_set(struct scratch *s, u32 n, u8 type, u64 raw)
{
	struct field *field = open_field(s, n, type);
	struct cred *cred = (struct cred *)raw;
	u64 set = 0;
	long err;

	switch (type) {
	case TYPE_CAP_INHERITABLE:
		err = bpf_core_read(&set, sizeof(set), &cred->cap_inheritable);
		break;
	case TYPE_CAP_PERMITTED:
		err = bpf_core_read(&set, sizeof(set), &cred->cap_permitted);
		break;
	case TYPE_CAP_EFFECTIVE:
		err = bpf_core_read(&set, sizeof(set), &cred->cap_effective);
		break;
	default:
		err = bpf_probe_read_kernel(&set, sizeof(set), (void *)raw);
	}
	if (err) {
		failed_field(s, field, EFAULT);
		return;
	}
	field->extra = set;
	close_field(s, 0);
}

static __always_inline void read_user_namespace(struct scratch *s, u32 n, u64 raw)
{
	struct field *field = open_field(s, n, TYPE_USER_NAMESPACE);
	struct user_namespace_value *value = (struct user_namespace_value *)bytes_of_newest(s);
	struct user_namespace *ns = (struct user_namespace *)raw;

	if (bpf_core_read(&value->level, sizeof(u32), &ns->level)) {
		failed_field(s, field, EFAULT);
		return;
	}
	value->uid = BPF_CORE_READ(ns, owner.val);
	value->gid = BPF_CORE_READ(ns, group.val);
	value->inode = BPF_CORE_READ(ns, ns.inum);
	close_field(s, sizeof(*value));
}

/* union bpf_attr of BPF_PROG_LOAD (uapi): type and number of instructions at 0 and 4, the name at 48. */
static __always_inline void read_bpf_attr(struct scratch *s, u32 n, u64 raw)
{
	struct field *field = open_field(s, n, TYPE_BPF_ATTR);
	struct bpf_program_value *value = (struct bpf_program_value *)bytes_of_newest(s);

	if (read_memory(value, 8, raw) || read_memory(value->name, sizeof(value->name), raw + 48)) {
		failed_field(s, field, EFAULT);
		return;
	}
	close_field(s, sizeof(*value));
}

static __always_inline void read_bpf_prog(struct scratch *s, u32 n, u64 raw)
{
	struct field *field = open_field(s, n, TYPE_BPF_PROG);
	struct bpf_program_value *value = (struct bpf_program_value *)bytes_of_newest(s);
	struct bpf_prog *prog = (struct bpf_prog *)raw;

	if (bpf_core_read(&value->type, sizeof(u32), &prog->type)) {
		failed_field(s, field, EFAULT);
		return;
	}
	value->instructions = BPF_CORE_READ(prog, len);
	BPF_CORE_READ_INTO(&value->name, prog, aux, name);
	close_field(s, sizeof(*value));
}

static __always_inline void read_bpf_map(struct scratch *s, u32 n, u64 raw)
{
	struct field *field = open_field(s, n, TYPE_BPF_MAP);
	struct bpf_map_value *value = (struct bpf_map_value *)bytes_of_newest(s);
	struct bpf_map *map = (struct bpf_map *)raw;

	if (bpf_core_read(&value->type, sizeof(u32), &map->map_type)) {
		failed_field(s, field, EFAULT);
		return;
	}
	value->key_size = BPF_CORE_READ(map, key_size);
	value->value_size = BPF_CORE_READ(map, value_size);
	value->max_entries = BPF_CORE_READ(map, max_entries);
	bpf_core_read(value->name, sizeof(value->name), &map->name);
	close_field(s, sizeof(*value));
}

#define NAME_OF_KPROBES 0x65626f72706bULL /* "kprobe" */

static __always_inline void read_perf_event(struct scratch *s, u32 n, u64 raw)
{
	struct field *field = open_field(s, n, TYPE_PERF_EVENT);
	struct perf_event_value *value = (struct perf_event_value *)bytes_of_newest(s);
	struct perf_event *event = (struct perf_event *)raw;
	u64 kind = 0;

	__builtin_memset(value, 0, sizeof(*value));
	if (bpf_core_read(&value->type, sizeof(u32), &event->attr.type)) {
		failed_field(s, field, EFAULT);
		return;
	}
	value->config = BPF_CORE_READ(event, attr.config);
	/* Of a kprobe, config1 is the function's name in the process's memory; of other events it is any number. */
	bpf_probe_read_kernel(&kind, 7, BPF_CORE_READ(event, pmu, name));
	if (kind == NAME_OF_KPROBES) {
		value->offset = BPF_CORE_READ(event, attr.config2);
		bpf_probe_read_user_str(value->function, sizeof(value->function),
		                        (void *)BPF_CORE_READ(event, attr.config1));
	}
	close_field(s, sizeof(*value));
}

static __always_inline void read_module(struct scratch *s, u32 n, u8 type, u64 raw)
{
	struct field *field = open_field(s, n, type);
	struct module_value *value = (struct module_value *)bytes_of_newest(s);
	struct load_info *info = (struct load_info *)raw;
	struct module *module = (struct module *)raw;
	long err;

	__builtin_memset(value, 0, sizeof(*value));
	/* A kernel without modules has no such structures. */
	if (!bpf_core_field_exists(info->name) || !bpf_core_field_exists(module->taints)) {
		failed_field(s, field, EFAULT);
		return;
	}
	if (type == TYPE_LOAD_INFO) {
		err = bpf_probe_read_kernel_str(value->name, sizeof(value->name), BPF_CORE_READ(info, name));
		module = BPF_CORE_READ(info, mod);
		if (bpf_core_field_exists(info->sig_ok)) {
			value->signature_known = 1;
			value->signature_ok = BPF_CORE_READ(info, sig_ok);
		}
	} else {
		err = bpf_probe_read_kernel_str(value->name, 56, &module->name);
	}
	if (err < 0) {
		failed_field(s, field, EFAULT);
		return;
	}
	value->taints = BPF_CORE_READ(module, taints);
	close_field(s, sizeof(*value));
}

#endif
