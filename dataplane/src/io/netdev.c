/* Settings of a network device; see netdev.h. */
#include "netdev.h"

#include <errno.h>
#include <fcntl.h>
#include <ifaddrs.h>
#include <net/if.h>
#include <net/if_arp.h>
#include <netinet/in.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <linux/ethtool.h>
#include <linux/sockios.h>

enum { MAX_FEATURES = 1024 };

static int device_ioctl(const char *name, unsigned long request, struct ifreq *ifr)
{
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return -errno;
	snprintf(ifr->ifr_name, sizeof(ifr->ifr_name), "%s", name);
	int status = ioctl(fd, request, ifr) < 0 ? -errno : 0;
	close(fd);
	return status;
}

int netdev_index(const char *name)
{
	unsigned index = if_nametoindex(name);
	return index ? (int)index : -errno;
}

/* An abstract socket: it belongs to the network namespace, as the device does. */
int netdev_claim(const char *name)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	int len = snprintf(
		address.sun_path + 1, sizeof(address.sun_path) - 1, "bng-dataplane/%s", name);
	int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return -errno;
	size_t size = offsetof(struct sockaddr_un, sun_path) + 1 + (size_t)len;
	if (!bind(fd, (const struct sockaddr *)&address, (socklen_t)size))
		return fd;
	int status = -errno;
	close(fd);
	return status;
}

int netdev_mac(const char *name, uint8_t mac[6])
{
	struct ifreq ifr = {0};
	int status = device_ioctl(name, SIOCGIFHWADDR, &ifr);
	if (!status && ifr.ifr_hwaddr.sa_family != ARPHRD_ETHER)
		status = -EPFNOSUPPORT;
	memcpy(mac, ifr.ifr_hwaddr.sa_data, 6);
	return status;
}

int netdev_set_mac(const char *name, const uint8_t mac[6])
{
	struct ifreq ifr = {0};
	int status = device_ioctl(name, SIOCGIFHWADDR, &ifr);
	if (status || !memcmp(ifr.ifr_hwaddr.sa_data, mac, 6))
		return status;
	memcpy(ifr.ifr_hwaddr.sa_data, mac, 6);
	return device_ioctl(name, SIOCSIFHWADDR, &ifr);
}

int netdev_flags(const char *name)
{
	struct ifreq ifr = {0};
	int status = device_ioctl(name, SIOCGIFFLAGS, &ifr);
	return status ? status : (uint16_t)ifr.ifr_flags;
}

int netdev_change_flags(const char *name, int set, int clear)
{
	int flags = netdev_flags(name);
	if (flags < 0 || ((flags & set) == set && !(flags & clear)))
		return flags < 0 ? flags : 0;
	struct ifreq ifr = {.ifr_flags = (short)((flags | set) & ~clear)};
	return device_ioctl(name, SIOCSIFFLAGS, &ifr);
}

int netdev_set_mtu(const char *name, int mtu)
{
	struct ifreq ifr = {.ifr_mtu = mtu};
	return device_ioctl(name, SIOCSIFMTU, &ifr);
}

int netdev_set_queue(const char *name, int frames)
{
	struct ifreq ifr = {.ifr_qlen = frames};
	return device_ioctl(name, SIOCSIFTXQLEN, &ifr);
}

int netdev_raise_mtu(const char *name, int mtu)
{
	struct ifreq ifr = {0};
	int status = device_ioctl(name, SIOCGIFMTU, &ifr);
	if (status || ifr.ifr_mtu >= mtu)
		return status;
	return netdev_set_mtu(name, mtu);
}

static bool counts(const struct sockaddr *address)
{
	if (!address || (address->sa_family != AF_INET && address->sa_family != AF_INET6))
		return false;
	const struct sockaddr_in6 *in6 = (const void *)address;
	return address->sa_family == AF_INET || !IN6_IS_ADDR_LINKLOCAL(&in6->sin6_addr);
}

bool netdev_has_addresses(const char *name)
{
	struct ifaddrs *all;
	if (getifaddrs(&all))
		return false;
	bool found = false;
	for (const struct ifaddrs *a = all; a && !found; a = a->ifa_next)
		found = !strcmp(a->ifa_name, name) && counts(a->ifa_addr);
	freeifaddrs(all);
	return found;
}

/* A setting of the device below /proc/sys/net; fine when the kernel does not have it. */
static int set_value(const char *family, const char *name, const char *key, const char *value)
{
	char path[96];
	snprintf(path, sizeof(path), "/proc/sys/net/%s/conf/%s/%s", family, name, key);
	int fd = open(path, O_WRONLY | O_CLOEXEC);
	if (fd < 0)
		return errno == ENOENT ? 0 : -errno;
	int status = write(fd, value, strlen(value)) < 0 ? -errno : 0;
	close(fd);
	return status;
}

int netdev_disable_ipv6(const char *name)
{
	return set_value("ipv6", name, "disable_ipv6", "1");
}

int netdev_take_no_advice(const char *name)
{
	static const char *const keys[][2] = {
		{"ipv6", "accept_ra"}, {"ipv6", "accept_redirects"}, {"ipv4", "accept_redirects"}};
	int status = 0;
	for (size_t i = 0; i < sizeof(keys) / sizeof(*keys) && !status; i++)
		status = set_value(keys[i][0], name, keys[i][1], "0");
	return status;
}

static int ethtool(const char *name, void *request)
{
	struct ifreq ifr = {.ifr_data = request};
	return device_ioctl(name, SIOCETHTOOL, &ifr);
}

static const char *const unwanted[] = {"rx-gro", "rx-gro-hw", "rx-gro-list",
	"rx-udp-gro-forwarding", "rx-lro", "rx-vlan-hw-parse", "rx-vlan-stag-hw-parse",
	"rx-vlan-filter", "rx-vlan-stag-filter"};

static bool is_unwanted(const char *feature)
{
	for (size_t i = 0; i < sizeof(unwanted) / sizeof(*unwanted); i++)
		if (!strncmp(unwanted[i], feature, ETH_GSTRING_LEN))
			return true;
	return false;
}

static uint32_t feature_count(const char *name)
{
	uint64_t room[4] = {0}; /* the header and one count */
	struct ethtool_sset_info *info = (void *)room;
	info->cmd = ETHTOOL_GSSET_INFO;
	info->sset_mask = 1ull << ETH_SS_FEATURES;
	return ethtool(name, info) || !info->sset_mask ? 0 : info->data[0];
}

/* Names of the n features; NULL: not to be had. Free it. */
static struct ethtool_gstrings *feature_names(const char *name, uint32_t n)
{
	struct ethtool_gstrings *names =
		n && n <= MAX_FEATURES ? calloc(1, sizeof(*names) + (size_t)n * ETH_GSTRING_LEN)
				       : NULL;
	if (!names)
		return NULL;
	names->cmd = ETHTOOL_GSTRINGS;
	names->string_set = ETH_SS_FEATURES;
	names->len = n;
	if (!ethtool(name, names))
		return names;
	free(names);
	return NULL;
}

void netdev_receive_as_sent(const char *name)
{
	uint32_t n = feature_count(name);
	uint32_t blocks = (n + 31) / 32;
	struct ethtool_gstrings *names = feature_names(name, n);
	if (!names)
		return;
	struct ethtool_sfeatures *features =
		calloc(1, sizeof(*features) + blocks * sizeof(features->features[0]));
	if (!features)
		goto out;
	features->cmd = ETHTOOL_SFEATURES;
	features->size = blocks;
	for (uint32_t i = 0; i < n; i++)
		if (is_unwanted((const char *)names->data + (size_t)i * ETH_GSTRING_LEN))
			features->features[i / 32].valid |= 1u << i % 32;
	(void)ethtool(name, features);
out:
	free(names);
	free(features);
}

bool netdev_takes_tags(const char *name)
{
	uint32_t n = feature_count(name);
	uint32_t blocks = (n + 31) / 32;
	bool found = false;
	struct ethtool_gstrings *names = feature_names(name, n);
	if (!names)
		return false;
	struct ethtool_gfeatures *features =
		calloc(1, sizeof(*features) + blocks * sizeof(features->features[0]));
	if (!features)
		goto out;
	features->cmd = ETHTOOL_GFEATURES;
	features->size = blocks;
	if (ethtool(name, features))
		goto out;
	for (uint32_t i = 0; i < n; i++) {
		const char *feature = (const char *)names->data + (size_t)i * ETH_GSTRING_LEN;
		bool tags = !strncmp(feature, "rx-vlan-hw-parse", ETH_GSTRING_LEN) ||
			    !strncmp(feature, "rx-vlan-stag-hw-parse", ETH_GSTRING_LEN);
		found |= tags && features->features[i / 32].active & 1u << i % 32;
	}
out:
	free(names);
	free(features);
	return found;
}

bool netdev_has_lazy_peer(const char *name)
{
	struct ethtool_drvinfo info = {.cmd = ETHTOOL_GDRVINFO};
	return !ethtool(name, &info) &&
	       (!strcmp(info.driver, "veth") || !strcmp(info.driver, "tun"));
}

int netdev_rx_queues(const char *name)
{
	struct ethtool_channels channels = {.cmd = ETHTOOL_GCHANNELS};
	int status = ethtool(name, &channels);
	if (status)
		return status == -EOPNOTSUPP ? 1 : status;
	return (int)(channels.rx_count + channels.combined_count);
}
