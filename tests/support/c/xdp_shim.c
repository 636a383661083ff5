/* Runs the XDP program of a routed port over a frame, for tests. As root. */
#include <errno.h>
#include <stdint.h>
#include <unistd.h>

#include <bpf/bpf.h>
#include <linux/bpf.h>

#include "io/xdp_insns.h"

/* Returns the program's descriptor, or -errno. */
int shim_load(void)
{
	struct bpf_insn insns[XDP_INSNS_MAX];
	int map =
		bpf_map_create(BPF_MAP_TYPE_XSKMAP, "test", sizeof(__u32), sizeof(__u32), 1, NULL);
	if (map < 0)
		return map;
	size_t n = xdp_insns(insns, map, true);
	int program = bpf_prog_load(BPF_PROG_TYPE_XDP, "test", "Apache-2.0", insns, n, NULL);
	close(map); /* the program holds it */
	return program;
}

/* 1: the frame goes on to the kernel; 0: to its socket, of which there is none; or -errno. */
int shim_passes(int program, const uint8_t *bytes, uint32_t len)
{
	struct bpf_test_run_opts run = {
		.sz = sizeof(run), .data_in = bytes, .data_size_in = len, .repeat = 1};
	int status = bpf_prog_test_run_opts(program, &run);
	return status ? status : run.retval == XDP_PASS;
}
