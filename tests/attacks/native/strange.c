/* SPDX-License-Identifier: Apache-2.0 */
/* A program that names a loader of its own; `arena.py` links it. What it does itself never happens. */
int main(void)
{
	return 1;
}
