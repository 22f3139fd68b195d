/* The hot half of the load generator: packets over sockets that Python has opened and logged in.
 *
 * cc -O2 -shared -fPIC; called through ctypes by load.py, which documents the figures. Every packet is an ADD_STROKE;
 * the first three coordinates hold the time at which it was due, 24 bits each, so that they are ordinary numbers.
 * Closed loop: `window` packets are under way; a new one goes out when one has reached everybody. Open loop: every
 * sender sends `rate` packets a second, and latency counts from when each was due.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { BUFFER = 1 << 18, SAMPLES = 1 << 20, ADD_STROKE = 12 };

typedef struct {
    uint64_t sent, delivered, lost, disorder, samples;
    double seconds;
    float latency_us[SAMPLES];
} Result;

typedef struct {
    unsigned char *data;
    int used;
    int64_t last_index;
} Inbox;

static uint64_t now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * 1000000000ull + t.tv_nsec;
}

static void put_time(unsigned char *p, uint64_t time)
{
    for (int i = 0; i < 3; i++) {
        float part = (float)(time >> 24 * i & 0xFFFFFF);
        memcpy(p + 4 * i, &part, 4);
    }
}

static uint64_t get_time(const unsigned char *p)
{
    uint64_t time = 0;
    for (int i = 0; i < 3; i++) {
        float part;
        memcpy(&part, p + 4 * i, 4);
        time |= (uint64_t)part << 24 * i;
    }
    return time;
}

static int send_all(int fd, const unsigned char *p, int n)
{
    while (n > 0) {
        ssize_t sent = send(fd, p, n, MSG_NOSIGNAL);
        if (sent < 0 && errno != EAGAIN)
            return -1;
        if (sent > 0)
            p += sent, n -= sent;
    }
    return 0;
}

enum { RAW, WEBSOCKET, NATS };

/* One message at p, of which `left` bytes are there: how long it is altogether, 0 when bytes are missing. packet: where
 * the packet in it begins, or NULL when it is none. */
static int message(const unsigned char *p, int left, int framing, const unsigned char **packet)
{
    *packet = p;
    if (framing == RAW)
        return left < 8 || left < (p[0] | p[1] << 8) ? 0 : p[0] | p[1] << 8;
    if (framing == WEBSOCKET) {
        if (left < 4)
            return 0;
        int head = (p[1] & 127) < 126 ? 2 : 4, size = head == 2 ? p[1] & 127 : p[2] << 8 | p[3];
        *packet = (p[0] & 15) == 2 ? p + head : NULL;
        return left < head + size ? 0 : head + size;
    }
    const unsigned char *end = memmem(p, left, "\r\n", 2), *digits = end;
    if (end == NULL)
        return 0;
    *packet = NULL;
    if (memcmp(p, "MSG", 3))
        return end + 2 - p;
    while (digits[-1] != ' ')
        digits--;
    int size = atoi((const char *)digits);
    *packet = end + 2;
    return left < end + 4 - p + size ? 0 : end + 4 - p + size;
}

/* Reads what one connection has; counts deliveries. */
static int receive(int fd, Inbox *inbox, int framing, Result *result)
{
    ssize_t got = recv(fd, inbox->data + inbox->used, BUFFER - inbox->used, MSG_DONTWAIT);
    if (got <= 0)
        return got < 0 && errno == EAGAIN ? 0 : -1;
    inbox->used += got;
    int at = 0, found = 0;
    uint64_t now = now_ns();
    for (;;) {
        const unsigned char *p;
        int size = message(inbox->data + at, inbox->used - at, framing, &p);
        if (size == 0)
            break;
        if (p && p[2] == ADD_STROKE) {
            int data = 8 + p[7];
            int32_t index;
            memcpy(&index, p + data, 4);
            if (index <= inbox->last_index)
                result->disorder++;
            inbox->last_index = index;
            found++;
            if (result->samples < SAMPLES)
                result->latency_us[result->samples++] = (now - get_time(p + data + 16)) / 1e3f;
        }
        at += size;
    }
    memmove(inbox->data, inbox->data + at, inbox->used - at);
    inbox->used -= at;
    result->delivered += found;
    return found;
}

/* packets: one for each sender, as it goes onto the wire; stamp: where its first coordinate stands. Returns 0, or -1
 * when a connection broke. */
int drive(const int *fds, int peers, int senders, unsigned char **packets, int size, int stamp, int framing,
          int window, double rate, double seconds, Result *result)
{
    int poller = epoll_create1(0), broken = 0;
    Inbox *inboxes = calloc(peers, sizeof *inboxes);
    struct epoll_event events[256];
    for (int i = 0; i < peers; i++) {
        struct epoll_event event = {.events = EPOLLIN, .data.u32 = i};
        epoll_ctl(poller, EPOLL_CTL_ADD, fds[i], &event);
        inboxes[i].data = malloc(BUFFER);
        inboxes[i].last_index = -1;
    }
    memset(result, 0, offsetof(Result, latency_us));
    uint64_t start = now_ns(), end = start + (uint64_t)(seconds * 1e9), *due = calloc(senders, sizeof *due);
    uint64_t period = rate > 0 ? (uint64_t)(1e9 / rate) : 0;
    int turn = 0, batch = (window + 1) / 2; /* as many go out at once: a saturated server always finds work */
    for (int i = 0; i < senders; i++)
        due[i] = start + period * i / senders;
    while (!broken) {
        uint64_t now = now_ns(), wanted = result->sent * (uint64_t)(peers - 1);
        if (now >= end && (result->delivered >= wanted || now >= end + 2000000000ull))
            break;
        if (now < end && period) {
            for (int i = 0; i < senders; i++)
                while (due[i] <= now) {
                    put_time(packets[i] + stamp, due[i]);
                    broken |= send_all(fds[i], packets[i], size);
                    due[i] += period, result->sent++;
                }
        } else if (now < end) {
            uint64_t complete = result->delivered / (peers - 1);
            while (result->sent + batch <= complete + window)
                for (int k = 0; k < batch; k++, turn = (turn + 1) % senders, result->sent++) {
                    put_time(packets[turn] + stamp, now_ns());
                    broken |= send_all(fds[turn], packets[turn], size);
                }
        }
        int ready = epoll_wait(poller, events, 256, 0);
        for (int i = 0; i < ready; i++) {
            int k = events[i].data.u32;
            if (receive(fds[k], &inboxes[k], framing, result) < 0)
                broken = 1;
        }
    }
    result->seconds = (now_ns() - start) / 1e9;
    result->lost = result->sent * (uint64_t)(peers - 1) - result->delivered;
    for (int i = 0; i < peers; i++)
        free(inboxes[i].data);
    free(inboxes), free(due), close(poller);
    return broken ? -1 : 0;
}
