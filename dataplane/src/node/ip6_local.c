/* ip6_local: IPv6 to an address of the box: see local.h. ICMPv6 echo is that of RFC 4443 section
 * 4.2. */
#include "node/icmp6.h"
#include "node/local.h"

static struct node node_ip6_local;

static int init(struct worker *w)
{
	return answers_init(w, &node_ip6_local, &echo_limits);
}

/* A network of 64 bits is one source. */
static uint16_t echo(struct worker *w, struct pkt *p)
{
	struct ip6_hdr *ip = (struct ip6_hdr *)pkt_data(p);
	if (p->len < IP6_LEN + ICMP6_LEN || !is_echo6_request(ip))
		return EDGE_NOT_ECHO;
	uint16_t refused = answer_refused(
		w, &node_ip6_local, &echo_limits, ip6_prefix(ip->source), EDGE_REFUSED);
	if (refused)
		return refused;
	if (icmp6_checksum(ip, ip + 1, (uint16_t)(p->len - IP6_LEN)))
		return EDGE_CHECKSUM_WRONG;
	echo6_reply(ip);
	p->session = NO_SESSION;
	p->flags = PKT_IP6;
	return EDGE_LOOKUP;
}

static void process(struct worker *w, struct pkt **pkts, uint16_t n, uint16_t *next)
{
	for (uint16_t i = 0; i < n; i++)
		next[i] = local(w, pkts[i], echo);
}

NODE(ip6_local) = {
	.name = "ip6_local",
	.process = process,
	.init = init,
	.edges = {LOCAL_EDGES_OF("ip6_lookup")},
};
