/* What libbpf says. */
#include <stdarg.h>
#include <stdlib.h>
#include <stdio.h>
#include <string.h>
#include <bpf/libbpf.h>

/* libbpf explains failures by printing. Kept instead, up to the tail that a verifier's verdict needs. */
static char log_buf[1 << 16];
static size_t log_len;

static int keep_log(enum libbpf_print_level level, const char *format, va_list args)
{
	va_list again;
	char *text;
	size_t n;
	int len;

	if (level == LIBBPF_DEBUG)
		return 0;
	va_copy(again, args);
	len = vsnprintf(NULL, 0, format, again);
	va_end(again);
	text = len > 0 ? malloc(len + 1) : NULL;
	if (!text)
		return 0;
	vsnprintf(text, len + 1, format, args);
	/* A verifier's log comes as one line; its end has the verdict. */
	n = (size_t)len < sizeof(log_buf) / 4 ? (size_t)len : sizeof(log_buf) / 4;
	if (log_len + n >= sizeof(log_buf)) {
		size_t keep = sizeof(log_buf) / 2;
		memmove(log_buf, log_buf + log_len - keep, keep);
		log_len = keep;
	}
	memcpy(log_buf + log_len, text + len - n, n);
	log_len += n;
	log_buf[log_len] = 0;
	free(text);
	return 0;
}

static void lictor_log_start(void)
{
	log_len = 0;
	log_buf[0] = 0;
	libbpf_set_print(keep_log);
}

static const char *lictor_log_text(void)
{
	return log_buf;
}
