/* The dataplane benchmark: settings, results and how they are printed. */
#ifndef BENCH_H
#define BENCH_H

#include <stdbool.h>
#include <stdint.h>

#include "engine.h"

enum { MAX_ROWS = 16 };

enum {
	FRAME_LEN = 60,
	ACC = 0,
	WAN = 1,
	VLAN = 2, /* of wan0, where there is one */
	VLAN_VID = 300,
	BLOCKS_USABLE = 252, /* of an address: 65536 / 256 less those under port 1024 */
	MIN_PACKETS = 1 << 18,
	MAX_RUNS = 64,
	MAX_FLOWS = 200,       /* fit a block */
	SERVER = 0xc6336401,   /* 198.51.100.1 */
	CLIENTS = 0x64400000,  /* 100.64.0.0 */
	NAT_POOL = 0xcb007101, /* 203.0.113.1 on */
	SERVER_PORT = 53,
	CLIENT_PORT = 40000,
};

struct bench {
	struct dataplane *dp;
	struct worker *w;
	struct worker *owner; /* of all sessions: the same, or a second one */
	uint32_t sessions;
	uint32_t flows; /* of each session */
	bool nat;
	uint8_t (*frames)[64];
	const uint8_t **order;
	uint16_t *lens;
	uint64_t preempted; /* turns left out */
	/* What kinds of rows differ in, set before the sessions are installed. */
	void (*adjust)(struct options *o);
	bool scattered;	   /* subscribers' addresses, over a /10 */
	bool vlan;	   /* the network is behind a tag */
	struct pkt *last;  /* free buffer, where the one that was free longest is next */
	uint32_t remotes;  /* of each session's one port; 0: each flow has a port */
	uint32_t *server;  /* of each frame; NULL: all the same */
	uint8_t tcp_flags; /* 0: UDP */
	bool ip6;
	uint16_t frame_len; /* of those made last */
	uint16_t port;	    /* the first one of each session's flows; 0: CLIENT_PORT */
	uint64_t late_ns;   /* the workers' clock is ahead of ours */
};

/* Subscribers, and UDP flows of each. */
struct row {
	uint32_t sessions, flows;
};

/* A kind of rows: how it differs from the plain ones. */
struct kind {
	const char *up, *down; /* NULL: not measured */
	bool no_nat;
	struct row row;			/* 0: those of the settings, with one flow */
	void (*set)(struct bench *b);	/* before sessions are installed */
	void (*begin)(struct bench *b); /* after that */
};

struct settings {
	bool json;
	uint32_t runs;
	enum hugepages_mode hugepages;
	bool firstpacket;
	bool plain;	  /* no kinds, no hand-off */
	const char *only; /* row of this name, soon measured; NULL: all */
	uint32_t n_rows;
	struct row rows[MAX_ROWS];
	uint32_t sessions_most; /* of them */
	bool printed;		/* a row is out: the next one needs a comma */
	double calibration[4];	/* medians: loads at 1, 32, 512 MiB, copying 64 bytes */
};

struct summary {
	double median, min, max;
};

struct result {
	const char *direction;
	bool nat;
	struct row row;
	struct summary clocks;
	uint64_t preempted; /* turns left out: the kernel took the CPU away */
	uint32_t n_nodes;
	const char *node[MAX_NODES];
	double node_clocks[MAX_NODES];
};

/* Frames in a set: one of each flow. */
static inline uint32_t frames_of(const struct bench *b)
{
	return b->sessions * b->flows;
}

/* A dataplane with the sessions installed; blocks: what NAT has for each of them. */
void bench_open(struct bench *b, const struct settings *s, struct row row, uint32_t blocks,
	uint32_t workers);
/* The same for a kind of rows. */
void bench_open_kind(
	struct bench *b, const struct settings *s, struct row row, const struct kind *kind);
void bench_close(struct bench *b);
/* Sends at least `least` packets of the replayed set; clocks in the graph per packet. Exits when
 * not all of them come out on the other side. */
double bench_run(struct bench *b, uint8_t from, uint8_t to, uint64_t least);
/* A session by commands; so many of them are on each public address. */
void bench_install(struct bench *b, uint32_t session, uint32_t per_address);
/* Where everything that goes to the network leaves. */
void bench_add_neighbour(struct bench *b);
/* One more command, carried out at once; group: a worker, or n_workers for the control thread. */
void bench_command(struct bench *b, uint32_t group, struct command *c);
void bench_policers(struct bench *b);
void bench_acls(struct bench *b);
void bench_trace(struct bench *b);
/* IPv6 in place of IPv4: see ip6.c. */
void bench_set_ip6(struct bench *b);
void bench_begin_ip6(struct bench *b);
void bench_upstream_ip6(struct bench *b, uint32_t session);
void bench_downstream_ip6(struct bench *b);
/* The kinds, the plain one not among them; ends with one without names. */
extern const struct kind bench_kinds[];
/* Below n; the same in every run. */
uint32_t bench_random(uint32_t n);
/* The time of the workers. */
uint64_t bench_now(const struct bench *b);
/* Clocks of one turn of the graph over n packets; 0 when the kernel took the CPU away meanwhile. */
uint64_t bench_turn(struct bench *b, struct pkt **pkts, uint16_t n);
/* Involuntary switches of this thread so far. */
long preemptions(void);
/* Two workers, a thread each: one receives, the other owns all sessions. */
void bench_handoff(const struct settings *s, struct row row);
/* Bytes of the arena for a session, a subscriber's NAT, a live mapping. */
void bench_memory(struct settings *s);
/* First packets of flows: mappings are made, and blocks. */
void bench_first_packets(struct settings *s);

/* Address of a subscriber, host order. */
uint32_t client_of(const struct bench *b, uint32_t session);
void mac_of(uint32_t session, uint8_t mac[6]);
void make_upstream(struct bench *b);
/* The upstream frame of one flow. */
void make_upstream_frame(struct bench *b, uint32_t frame, uint32_t session, uint16_t port);
/* Sends each upstream frame once and makes the answers from what leaves. */
void make_downstream(struct bench *b);
/* Puts n frames from the first on into the replayed set, in random order. */
void shuffle(struct bench *b, uint32_t first, uint32_t n);

/* Sorts the values. */
void summarize(double *values, uint32_t n, struct summary *s);
void print_head(struct settings *s);
void print_result(const struct settings *s, const struct result *r, bool hugepages);
/* One figure of first packets. */
void print_figure(
	struct settings *s, const char *kind, const char *name, const struct summary *sum);
void print_first_packet(struct settings *s, const char *name, const struct summary *sum);
void print_tail(const struct settings *s);
void reserve_hugepages(void);
/* What the machine itself costs: dependent loads, copies. */
void calibrate(struct settings *s);

#endif
