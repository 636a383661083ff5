/*
 * The XDP program on its device; see xdp_program.h, and xdp_insns.c for what it does.
 */
#include "xdp_program.h"

#include <errno.h>
#include <net/if.h>
#include <string.h>
#include <unistd.h>

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <linux/bpf.h>
#include <linux/if_link.h>

#include "netdev.h"
#include "xdp_insns.h"

static const char program_name[] = "bng_port"; /* how an earlier run's is known */

/* A device that was a port of ours: nothing else turns ARP off on Ethernet. */
static bool was_port(int ifindex)
{
	char name[IF_NAMESIZE];
	int flags = if_indextoname((unsigned)ifindex, name) ? netdev_flags(name) : -errno;
	return flags >= 0 && flags & IFF_NOARP;
}

/* Whether the program on the device is ours: 1, 0: there is none, -EBUSY: no. The kernel shows it
 * to CAP_SYS_ADMIN alone, which the service does not have: then the device must tell. */
static int is_ours(int ifindex)
{
	__u32 id = 0;
	int status = bpf_xdp_query_id(ifindex, 0, &id);
	if (status || !id)
		return status;
	int fd = bpf_prog_get_fd_by_id(id);
	if (fd < 0)
		return fd == -EPERM && was_port(ifindex) ? 1 : -EBUSY;
	struct bpf_prog_info info = {0};
	__u32 len = sizeof(info);
	status = bpf_obj_get_info_by_fd(fd, &info, &len);
	close(fd);
	return status || strcmp(info.name, program_name) ? -EBUSY : 1;
}

int xdp_program_detach(int ifindex)
{
	int ours = is_ours(ifindex);
	return ours <= 0 ? ours : bpf_xdp_detach(ifindex, 0, NULL);
}

static int attach(int ifindex, int prog_fd, enum xdp_port_mode mode)
{
	__u32 flags = mode == XDP_PORT_NATIVE ? XDP_FLAGS_DRV_MODE : XDP_FLAGS_SKB_MODE;
	int status = bpf_xdp_attach(ifindex, prog_fd, flags, NULL);
	if (status != -EEXIST)
		return status;
	status = xdp_program_detach(ifindex); /* an earlier run's, in the other mode */
	return status ? status : bpf_xdp_attach(ifindex, prog_fd, flags, NULL);
}

static int load(int map_fd, bool control_passes)
{
	struct bpf_insn insns[XDP_INSNS_MAX];
	size_t n = xdp_insns(insns, map_fd, control_passes);
	int fd = bpf_prog_load(BPF_PROG_TYPE_XDP, program_name, "Apache-2.0", insns, n, NULL);
	return fd < 0 ? -errno : fd;
}

int xdp_program_attach(int ifindex, int n_queues, enum xdp_port_mode mode, bool control_passes)
{
	libbpf_set_print(NULL); /* errors are told by who calls */
	int status = is_ours(ifindex);
	if (status < 0)
		return status;
	int map_fd = bpf_map_create(BPF_MAP_TYPE_XSKMAP, "bng_sockets", sizeof(__u32),
		sizeof(__u32), (__u32)n_queues, NULL);
	if (map_fd < 0)
		return -errno;
	int prog_fd = load(map_fd, control_passes);
	status = prog_fd < 0 ? prog_fd : attach(ifindex, prog_fd, mode);
	if (prog_fd >= 0)
		close(prog_fd); /* the device keeps it */
	if (!status)
		return map_fd;
	close(map_fd);
	return status;
}
