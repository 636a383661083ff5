/* ip4_local: IPv4 to an address of the box: see local.h. ICMP echo is that of RFC 792 and RFC 1122
 * section 3.2.2.6. */
#include "hdr/icmp.h"
#include "hdr/ip4.h"
#include "node/local.h"

enum { EDGE_FRAGMENT = LOCAL_EDGES, EDGE_OPTIONS, EDGE_TRUNCATED };

enum { ECHO_REPLY_TTL = 64 };

static struct node node_ip4_local;

static int init(struct worker *w)
{
	return answers_init(w, &node_ip4_local, &echo_limits);
}

/* Why the packet is no Echo Request that we answer; 0: it is one. */
static uint16_t echo_fault(struct pkt *p)
{
	const struct ip4_hdr *ip = (const struct ip4_hdr *)pkt_data(p);
	if (ip->protocol != IPPROTO_ICMP4)
		return EDGE_NOT_ECHO;
	if (ip->fragment & hton16(IP4_MF | IP4_OFFSET_MASK))
		return EDGE_FRAGMENT;
	if (ip4_header_len(ip) != IP4_LEN)
		return EDGE_OPTIONS;
	if (p->len < IP4_LEN + ICMP4_LEN)
		return EDGE_TRUNCATED;
	const struct icmp4_hdr *icmp = (const struct icmp4_hdr *)(ip + 1);
	return icmp->type == ICMP4_ECHO_REQUEST && icmp->code == 0 ? 0 : EDGE_NOT_ECHO;
}

static void make_reply(struct worker *w, struct pkt *p)
{
	struct ip4_hdr *ip = (struct ip4_hdr *)pkt_data(p);
	struct icmp4_hdr *icmp = (struct icmp4_hdr *)(ip + 1);
	be32 client = ip->source;
	icmp_set_type(icmp, ICMP4_ECHO_REPLY);
	ip->source = ip->destination;
	ip->destination = client;
	ip->ttl = ECHO_REPLY_TTL;
	ip->id = (be16)worker_random(w);
	ip->fragment = 0;
	ip->checksum = 0;
	ip->checksum = checksum(ip, IP4_LEN);
	p->session = NO_SESSION;
	p->flags = 0;
}

static uint16_t echo(struct worker *w, struct pkt *p)
{
	const struct ip4_hdr *ip = (const struct ip4_hdr *)pkt_data(p);
	uint16_t refused = echo_fault(p);
	if (!refused)
		refused =
			answer_refused(w, &node_ip4_local, &echo_limits, ip->source, EDGE_REFUSED);
	if (refused)
		return refused;
	if (checksum(ip + 1, (size_t)(p->len - IP4_LEN)))
		return EDGE_CHECKSUM_WRONG;
	make_reply(w, p);
	return EDGE_LOOKUP;
}

static void process(struct worker *w, struct pkt **pkts, uint16_t n, uint16_t *next)
{
	for (uint16_t i = 0; i < n; i++)
		next[i] = local(w, pkts[i], echo);
}

NODE(ip4_local) = {
	.name = "ip4_local",
	.process = process,
	.init = init,
	.edges =
		{
			LOCAL_EDGES_OF("ip4_lookup"),
			[EDGE_FRAGMENT] = DROP("echo-fragment"),
			[EDGE_OPTIONS] = DROP("echo-options"),
			[EDGE_TRUNCATED] = DROP("echo-truncated"),
		},
};
