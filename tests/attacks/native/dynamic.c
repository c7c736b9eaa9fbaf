/* SPDX-License-Identifier: Apache-2.0 */
/* The same as first.c, as a dynamic program: the loader can run it. */
#include <unistd.h>

int main(void)
{
	return write(100, "!", 1) != 1;
}
