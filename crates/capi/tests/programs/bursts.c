/* Two event loops over ZMQ_FD that send each other messages in bursts, with random pauses within a
 * burst and after it. At the end of a burst both sides wait for all that was sent, and nothing more
 * is: a message that waits for the next one would wait for ever, and is an error.
 *
 * bursts level|edge MESSAGES ENDPOINT SEED
 *
 * MESSAGES go each way. */

#include "check.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>
#include <string.h>
#include <sys/epoll.h>
#include <time.h>
#include <unistd.h>

/* A message that has not come after so long does not come. */
#define PATIENCE_MS 300000

/* High-water marks, low enough that senders run into them. */
#define HIGH_WATER 200

#define BURST_MAX 1500

struct side {
    const char *name;
    struct side *other;
    void *socket;
    int epoll;
    uint64_t random;
    /* Of all bursts so far. */
    atomic_long sent;
    atomic_int bursts;
    atomic_int met;
    long received;
    int64_t slowest_ns;
    long waits;
};

static long messages;

static int64_t now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * 1000000000ll + now.tv_nsec;
}

/* xorshift64. */
static uint64_t random_below(struct side *side, uint64_t bound)
{
    side->random ^= side->random << 13;
    side->random ^= side->random >> 7;
    side->random ^= side->random << 17;
    return side->random % bound;
}

struct body {
    int64_t number;
    int64_t sent_ns;
};

/* Receives one message, if there is one. */
static int receive(struct side *side)
{
    struct body body;
    int size = zmq_recv(side->socket, &body, sizeof body, ZMQ_DONTWAIT);
    if (size == -1) {
        CHECK(zmq_errno() == EAGAIN);
        return 0;
    }
    CHECK(size == sizeof body);
    CHECK(body.number == side->received);
    side->received++;
    if (now_ns() - body.sent_ns > side->slowest_ns)
        side->slowest_ns = now_ns() - body.sent_ns;
    return 1;
}

static int events(struct side *side)
{
    int events;
    size_t size = sizeof events;
    CHECK(zmq_getsockopt(side->socket, ZMQ_EVENTS, &events, &size) == 0);
    return events;
}

/* Takes all that there is, since the descriptor says nothing more about it. */
static int take_all(struct side *side)
{
    int ready;
    while ((ready = events(side)) & ZMQ_POLLIN)
        CHECK(receive(side));
    return ready;
}

/* Waits for the descriptor, and takes what it tells of. */
static int wait_for_news(struct side *side, int timeout_ms)
{
    struct epoll_event event;
    int count = epoll_wait(side->epoll, &event, 1, timeout_ms);
    CHECK(count >= 0);
    side->waits++;
    if (count > 0 && random_below(side, 2))
        take_all(side);
    else if (count > 0)
        /* EAGAIN arms the descriptor as well as ZMQ_EVENTS does. */
        while (receive(side)) {}
    return count;
}

static int send_one(struct side *side)
{
    struct body body = {side->sent, now_ns()};
    if (zmq_send(side->socket, &body, sizeof body, ZMQ_DONTWAIT) == -1) {
        CHECK(zmq_errno() == EAGAIN);
        return 0;
    }
    side->sent++;
    return 1;
}

static void pause_for(struct side *side, long ns)
{
    struct timespec pause = {0, ns};
    if (random_below(side, 2))
        nanosleep(&pause, NULL);
    else
        wait_for_news(side, (int)(ns / 1000000) + 1);
}

static void stuck(struct side *side, const char *what)
{
    fprintf(stderr, "%s: %s; sent %ld, received %ld of %ld; EVENTS are now %d\n", side->name, what,
            (long)side->sent, side->received, (long)side->other->sent, events(side));
    exit(1);
}

static void burst(struct side *side)
{
    long left = messages - side->sent;
    /* A few single ones too. */
    uint64_t most = random_below(side, 4) == 0 ? 3 : BURST_MAX;
    long count = 1 + (long)random_below(side, most);
    for (count = count < left ? count : left; count > 0; count--) {
        while (!send_one(side)) {
            /* The call may have taken the edge for what came meanwhile with it. */
            int ready = take_all(side);
            if (!(ready & ZMQ_POLLOUT) && wait_for_news(side, PATIENCE_MS) == 0)
                stuck(side, "nothing tells that it can send");
        }
        if (random_below(side, 300) == 0) {
            take_all(side);
            pause_for(side, (long)random_below(side, 500000));
        }
    }
    take_all(side);
}

/* Both come here before either goes on. */
static void meet(struct side *side)
{
    side->met++;
    while (side->other->met < side->met)
        sched_yield();
}

static void *run(void *argument)
{
    struct side *side = argument;
    int is_over;
    do {
        int64_t quiet_ns = 0;
        burst(side);
        side->bursts++;
        /* Nothing more is sent until all has come. */
        while (side->other->bursts < side->bursts || side->received < side->other->sent) {
            /* The time-out is for the other's counts, of which no descriptor tells. */
            int64_t before_ns = now_ns();
            if (wait_for_news(side, 1) > 0 || side->other->bursts < side->bursts)
                quiet_ns = 0;
            else if ((quiet_ns += now_ns() - before_ns) > PATIENCE_MS * 1000000ll)
                stuck(side, "a message waits for the next one");
        }
        meet(side);
        is_over = side->sent == messages && side->other->sent == messages;
        meet(side);
        if (random_below(side, 8) == 0)
            pause_for(side, (long)random_below(side, 3000000));
    } while (!is_over);
    return NULL;
}

static void open_side(struct side *side, void *context, const char *name, int is_edge,
                      uint64_t seed)
{
    int mark = HIGH_WATER, descriptor;
    size_t size = sizeof descriptor;
    struct epoll_event event = {.events = EPOLLIN | (is_edge ? (unsigned)EPOLLET : 0)};
    side->name = name;
    side->random = seed * 2654435769u + 88172645463325252ull;
    side->socket = zmq_socket(context, ZMQ_PAIR);
    CHECK(side->socket);
    CHECK(zmq_setsockopt(side->socket, ZMQ_SNDHWM, &mark, sizeof mark) == 0);
    CHECK(zmq_setsockopt(side->socket, ZMQ_RCVHWM, &mark, sizeof mark) == 0);
    CHECK(zmq_getsockopt(side->socket, ZMQ_FD, &descriptor, &size) == 0);
    side->epoll = epoll_create1(EPOLL_CLOEXEC);
    CHECK(side->epoll >= 0);
    CHECK(epoll_ctl(side->epoll, EPOLL_CTL_ADD, descriptor, &event) == 0);
}

int main(int argc, char **argv)
{
    static struct side a, b;
    void *contexts[2];
    pthread_t threads[2];
    char endpoint[256];
    size_t size = sizeof endpoint;
    int is_edge, is_inproc;
    if (argc != 5)
        return 2;
    is_edge = strcmp(argv[1], "edge") == 0;
    messages = atol(argv[2]);
    is_inproc = strncmp(argv[3], "inproc:", 7) == 0;
    contexts[0] = zmq_ctx_new();
    contexts[1] = is_inproc ? contexts[0] : zmq_ctx_new();
    open_side(&a, contexts[0], "the one that was bound", is_edge, strtoull(argv[4], NULL, 10));
    open_side(&b, contexts[1], "the one that connected", is_edge, ~strtoull(argv[4], NULL, 10));
    a.other = &b;
    b.other = &a;
    CHECK(zmq_bind(a.socket, argv[3]) == 0);
    CHECK(zmq_getsockopt(a.socket, ZMQ_LAST_ENDPOINT, endpoint, &size) == 0);
    CHECK(zmq_connect(b.socket, endpoint) == 0);
    CHECK(pthread_create(&threads[0], NULL, run, &a) == 0);
    CHECK(pthread_create(&threads[1], NULL, run, &b) == 0);
    CHECK(pthread_join(threads[0], NULL) == 0 && pthread_join(threads[1], NULL) == 0);
    CHECK(a.received == messages && b.received == messages);
    CHECK(zmq_close(a.socket) == 0 && zmq_close(b.socket) == 0);
    CHECK(zmq_ctx_term(contexts[0]) == 0);
    CHECK(is_inproc || zmq_ctx_term(contexts[1]) == 0);
    fprintf(stderr, "%ld messages each way, %d and %d bursts, %ld and %ld waits, slowest %.1f and %.1f ms\n",
            messages, a.bursts, b.bursts, a.waits, b.waits, (double)a.slowest_ns / 1e6,
            (double)b.slowest_ns / 1e6);
    puts("done");
    return 0;
}
