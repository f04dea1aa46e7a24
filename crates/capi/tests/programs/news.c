/* What ZMQ_FD tells of besides messages: peers that come and go, whose turn it is, subscriptions, the
 * end of the context. Each is waited for with poll(2), and nothing else happens meanwhile.
 *
 * news level|edge */

#include "check.h"

#include <dirent.h>
#include <errno.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

/* What has not been told after so many milliseconds is not. */
#define PATIENCE_MS 300000

#define TURNS 2000

static void *context;
static unsigned edge;

/* A socket and an event loop for it alone. */
struct watched {
    void *socket;
    int descriptor;
    int epoll;
};

static int descriptor_of(void *socket)
{
    int descriptor;
    size_t size = sizeof descriptor;
    CHECK(zmq_getsockopt(socket, ZMQ_FD, &descriptor, &size) == 0);
    return descriptor;
}

static void watch(struct watched *watched)
{
    struct epoll_event event = {.events = EPOLLIN | edge};
    watched->descriptor = descriptor_of(watched->socket);
    CHECK(descriptor_of(watched->socket) == watched->descriptor);
    watched->epoll = epoll_create1(EPOLL_CLOEXEC);
    CHECK(watched->epoll >= 0);
    CHECK(epoll_ctl(watched->epoll, EPOLL_CTL_ADD, watched->descriptor, &event) == 0);
}

static struct watched open_watched(int type)
{
    int none = 0;
    struct watched watched = {.socket = zmq_socket(context, type)};
    CHECK(watched.socket);
    CHECK(zmq_setsockopt(watched.socket, ZMQ_LINGER, &none, sizeof none) == 0);
    watch(&watched);
    return watched;
}

static void close_watched(struct watched *watched)
{
    CHECK(zmq_close(watched->socket) == 0);
    CHECK(close(watched->epoll) == 0);
}

static int events(struct watched *watched)
{
    int events;
    size_t size = sizeof events;
    CHECK(zmq_getsockopt(watched->socket, ZMQ_EVENTS, &events, &size) == 0);
    return events;
}

/* Waits until EVENTS are just these; looks only when the descriptor says so, but for the first time. */
static void await_events(struct watched *watched, int wanted)
{
    while (events(watched) != wanted) {
        struct epoll_event event;
        CHECK(epoll_wait(watched->epoll, &event, 1, PATIENCE_MS) == 1);
    }
}

static void bind_to_any(struct watched *watched, char *endpoint, size_t size)
{
    CHECK(zmq_bind(watched->socket, "tcp://127.0.0.1:*") == 0);
    CHECK(zmq_getsockopt(watched->socket, ZMQ_LAST_ENDPOINT, endpoint, &size) == 0);
}

static void send_text(struct watched *watched, const char *text)
{
    CHECK(zmq_send(watched->socket, text, strlen(text), ZMQ_DONTWAIT) == (int)strlen(text));
}

static void expect(struct watched *watched, const char *text, int size)
{
    char got[64];
    CHECK(zmq_recv(watched->socket, got, sizeof got, ZMQ_DONTWAIT) == size);
    CHECK(memcmp(got, text, (size_t)size) == 0);
}

static void peers_come_and_go(void)
{
    struct watched push = open_watched(ZMQ_PUSH);
    char endpoint[256];
    int round;
    bind_to_any(&push, endpoint, sizeof endpoint);
    for (round = 0; round < 20; round++) {
        void *pull = zmq_socket(context, ZMQ_PULL);
        await_events(&push, 0);
        CHECK(zmq_connect(pull, endpoint) == 0);
        await_events(&push, ZMQ_POLLOUT);
        CHECK(zmq_close(pull) == 0);
    }
    await_events(&push, 0);
    close_watched(&push);
}

static void turns(void)
{
    struct watched server = open_watched(ZMQ_REP), client = open_watched(ZMQ_REQ);
    char endpoint[256];
    int turn;
    bind_to_any(&server, endpoint, sizeof endpoint);
    CHECK(zmq_connect(client.socket, endpoint) == 0);
    for (turn = 0; turn < TURNS; turn++) {
        await_events(&client, ZMQ_POLLOUT);
        send_text(&client, "?");
        await_events(&server, ZMQ_POLLIN);
        expect(&server, "?", 1);
        await_events(&server, ZMQ_POLLOUT);
        send_text(&server, "!");
        await_events(&client, ZMQ_POLLIN);
        expect(&client, "!", 1);
    }
    close_watched(&client);
    close_watched(&server);
}

static void subscriptions(void)
{
    struct watched publisher = open_watched(ZMQ_XPUB), subscriber = open_watched(ZMQ_SUB);
    char endpoint[256];
    int round;
    bind_to_any(&publisher, endpoint, sizeof endpoint);
    CHECK(zmq_connect(subscriber.socket, endpoint) == 0);
    await_events(&subscriber, 0);
    for (round = 0; round < 200; round++) {
        await_events(&publisher, ZMQ_POLLOUT);
        CHECK(zmq_setsockopt(subscriber.socket, ZMQ_SUBSCRIBE, "a", 1) == 0);
        await_events(&publisher, ZMQ_POLLIN | ZMQ_POLLOUT);
        expect(&publisher, "\1a", 2);
        send_text(&publisher, "abc");
        await_events(&subscriber, ZMQ_POLLIN);
        expect(&subscriber, "abc", 3);
        await_events(&subscriber, 0);
        CHECK(zmq_setsockopt(subscriber.socket, ZMQ_UNSUBSCRIBE, "a", 1) == 0);
        await_events(&publisher, ZMQ_POLLIN | ZMQ_POLLOUT);
        expect(&publisher, "\0a", 2);
    }
    close_watched(&subscriber);
    close_watched(&publisher);
}

/* Who asks for the descriptor late is told of what was there before. */
static void asked_for_late(void)
{
    struct watched pull = {.socket = zmq_socket(context, ZMQ_PULL)};
    void *push = zmq_socket(context, ZMQ_PUSH);
    struct epoll_event event;
    CHECK(zmq_bind(pull.socket, "inproc://late") == 0 && zmq_connect(push, "inproc://late") == 0);
    watch(&pull);
    /* A peer, though there is nothing to be done. */
    CHECK(epoll_wait(pull.epoll, &event, 1, PATIENCE_MS) == 1);
    CHECK(events(&pull) == 0);
    CHECK(zmq_send(push, "early", 5, 0) == 5);
    CHECK(close(pull.epoll) == 0);
    watch(&pull);
    CHECK(epoll_wait(pull.epoll, &event, 1, PATIENCE_MS) == 1);
    expect(&pull, "early", 5);
    CHECK(zmq_close(push) == 0);
    close_watched(&pull);
}

/* The end of the context is told too. */
static void ends(void)
{
    struct watched pull = open_watched(ZMQ_PULL);
    struct epoll_event event;
    char got;
    await_events(&pull, 0);
    CHECK_FAILS(zmq_recv(pull.socket, &got, 1, ZMQ_DONTWAIT) == -1, EAGAIN);
    CHECK(zmq_ctx_shutdown(context) == 0);
    CHECK(epoll_wait(pull.epoll, &event, 1, PATIENCE_MS) == 1);
    CHECK_FAILS(zmq_recv(pull.socket, &got, 1, ZMQ_DONTWAIT) == -1, ETERM);
    close_watched(&pull);
    CHECK(zmq_ctx_term(context) == 0);
}

static int open_descriptors(void)
{
    DIR *open = opendir("/proc/self/fd");
    int count = 0;
    CHECK(open);
    while (readdir(open))
        count++;
    CHECK(closedir(open) == 0);
    return count;
}

int main(int argc, char **argv)
{
    int round, descriptors = 0;
    if (argc != 2)
        return 2;
    edge = strcmp(argv[1], "edge") == 0 ? (unsigned)EPOLLET : 0;
    for (round = 0; round < 3; round++) {
        context = zmq_ctx_new();
        peers_come_and_go();
        turns();
        subscriptions();
        asked_for_late();
        ends();
        if (round == 0)
            descriptors = open_descriptors();
    }
    CHECK(open_descriptors() == descriptors);
    puts("done");
    return 0;
}
