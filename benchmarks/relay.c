/* The yardstick: what passing packets on costs at least. relay PORT
 *
 * One epoll loop. What everybody sent in one turn of the loop is gathered, then each peer is sent everything but its
 * own, in one system call. No accounts, no validation, no canvas, no journal.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

enum { PEERS = 16384, TURN = 16 << 20, PARTS = 65536, GAPS = 512, REST = 65536 };

typedef struct {
    int fd, rest_used, waiting_used, waiting_room;
    unsigned char *rest, *waiting;
} Peer;

static Peer *peers[PEERS];
static int peer_count, poller, part_count;
static struct { int fd; size_t start, end; } parts[PARTS];
static unsigned char *turn;
static size_t turn_used;

static void drop(Peer *peer)
{
    for (int i = 0; i < peer_count; i++)
        if (peers[i] == peer)
            peers[i] = peers[--peer_count];
    for (int i = 0; i < part_count; i++)
        if (parts[i].fd == peer->fd)
            parts[i].fd = -1;
    close(peer->fd);
    free(peer->rest), free(peer->waiting), free(peer);
}

static void wait_for(Peer *peer, const unsigned char *p, size_t n)
{
    if (peer->waiting_used + (int)n > peer->waiting_room) {
        peer->waiting_room = 2 * (peer->waiting_used + n);
        peer->waiting = realloc(peer->waiting, peer->waiting_room);
    }
    memcpy(peer->waiting + peer->waiting_used, p, n);
    peer->waiting_used += n;
}

static void drain(Peer *peer)
{
    ssize_t sent = peer->waiting_used ? send(peer->fd, peer->waiting, peer->waiting_used, MSG_NOSIGNAL) : 0;
    if (sent > 0) {
        memmove(peer->waiting, peer->waiting + sent, peer->waiting_used - sent);
        peer->waiting_used -= sent;
    }
}

static void flush_to(Peer *peer)
{
    struct iovec gaps[GAPS];
    size_t at = 0, total = 0;
    int count = 0;
    for (int i = 0; i <= part_count; i++) {
        if (i < part_count && parts[i].fd != peer->fd)
            continue;
        size_t end = i < part_count ? parts[i].start : turn_used;
        if (end > at && count < GAPS) {
            gaps[count++] = (struct iovec){turn + at, end - at};
            total += end - at;
        }
        if (i < part_count)
            at = parts[i].end;
    }
    ssize_t sent = 0;
    drain(peer);
    if (total && !peer->waiting_used) {
        struct msghdr message = {.msg_iov = gaps, .msg_iovlen = count};
        sent = sendmsg(peer->fd, &message, MSG_NOSIGNAL);
        sent = sent < 0 ? 0 : sent;
    }
    for (int i = 0; i < count; i++) {
        size_t skip = (size_t)sent < gaps[i].iov_len ? (size_t)sent : gaps[i].iov_len;
        wait_for(peer, (unsigned char *)gaps[i].iov_base + skip, gaps[i].iov_len - skip);
        sent -= skip;
    }
}

static void take(Peer *peer, const unsigned char *p, size_t n)
{
    memcpy(turn + turn_used, p, n);
    parts[part_count].fd = peer->fd;
    parts[part_count].start = turn_used;
    parts[part_count++].end = turn_used += n;
}

static int read_from(Peer *peer)
{
    static unsigned char data[2 * REST];
    memcpy(data, peer->rest, peer->rest_used);
    ssize_t got = recv(peer->fd, data + peer->rest_used, REST, 0);
    if (got <= 0)
        return got < 0 && errno == EAGAIN ? 0 : -1;
    int used = peer->rest_used + got, at = 0;
    while (used - at >= 8) {
        int size = data[at] | data[at + 1] << 8;
        if (size < 8)
            return -1;
        if (used - at < size)
            break;
        at += size;
    }
    if (at)
        take(peer, data, at);
    peer->rest_used = used - at;
    memcpy(peer->rest, data + at, peer->rest_used);
    return 0;
}

int main(int argc, char **argv)
{
    int one = 1, listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(argc > 1 ? atoi(argv[1]) : 7600),
                                  .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    signal(SIGPIPE, SIG_IGN);
    setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    if (bind(listener, (void *)&address, sizeof address) || listen(listener, 1024))
        return perror("relay"), 1;
    turn = malloc(TURN);
    poller = epoll_create1(0);
    struct epoll_event event = {.events = EPOLLIN}, events[1024];
    epoll_ctl(poller, EPOLL_CTL_ADD, listener, &event);
    for (;;) {
        int waiting = 0;
        for (int i = 0; i < peer_count; i++)
            waiting |= peers[i]->waiting_used;
        int ready = epoll_wait(poller, events, 1024, waiting ? 1 : -1);
        for (int i = 0; i < ready; i++) {
            Peer *peer = events[i].data.ptr;
            if (peer == NULL) {
                peer = calloc(1, sizeof *peer);
                peer->fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK);
                peer->rest = malloc(REST);
                setsockopt(peer->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
                event = (struct epoll_event){.events = EPOLLIN, .data.ptr = peer};
                epoll_ctl(poller, EPOLL_CTL_ADD, peer->fd, &event);
                peers[peer_count++] = peer;
            } else if (read_from(peer) < 0) {
                drop(peer);
            }
            if (turn_used > TURN / 2 || part_count > PARTS / 2)
                break;
        }
        for (int i = 0; i < peer_count && (turn_used || waiting); i++)
            flush_to(peers[i]);
        turn_used = part_count = 0;
    }
}
