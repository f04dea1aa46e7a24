/* What only zmq.h's drafts have: pollers and their descriptor, the state of a ROUTER's peers, what
 * waits in the pipes of a monitored socket. */

#define ZMQ_BUILD_DRAFT_API

#include "check.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <unistd.h>

/* What has not happened after so many milliseconds does not. */
#define PATIENCE_MS 300000

static void *context;

static void *open_socket(int type)
{
    int none = 0;
    void *socket = zmq_socket(context, type);
    CHECK(socket);
    CHECK(zmq_setsockopt(socket, ZMQ_LINGER, &none, sizeof none) == 0);
    return socket;
}

static void bind_to_any(void *socket, char *endpoint, size_t size)
{
    CHECK(zmq_bind(socket, "tcp://127.0.0.1:*") == 0);
    CHECK(zmq_getsockopt(socket, ZMQ_LAST_ENDPOINT, endpoint, &size) == 0);
}

static int is_readable(int descriptor, int timeout)
{
    struct pollfd item = {.fd = descriptor, .events = POLLIN};
    return poll(&item, 1, timeout);
}

/* A wait for nothing would never end, and is refused; with a time-out it is but a pause. */
static void waits_for_nothing(void)
{
    zmq_poller_event_t event;
    int pipes[2];
    void *socket = open_socket(ZMQ_PAIR), *poller = zmq_poller_new();
    CHECK(poller && pipe(pipes) == 0);
    for (int registered = 0; registered < 3; ++registered) {
        CHECK_FAILS(zmq_poller_wait(poller, &event, 0) == -1, EAGAIN);
        CHECK_FAILS(zmq_poller_wait(poller, &event, -1) == -1, EFAULT);
        CHECK_FAILS(zmq_poller_wait_all(poller, &event, 1, 1) == -1, EAGAIN);
        CHECK_FAILS(zmq_poller_wait_all(poller, &event, 1, -1) == -1, EFAULT);
        CHECK_FAILS(zmq_poller_wait_all(poller, &event, -1, 0) == -1, EINVAL);
        CHECK_FAILS(zmq_poller_wait_all(poller, NULL, 1, 0) == -1, EFAULT);
        CHECK(zmq_poller_size(poller) == registered);
        /* Registered, and nothing of it is waited for. */
        if (registered == 0)
            CHECK(zmq_poller_add(poller, socket, NULL, 0) == 0);
        else if (registered == 1)
            CHECK(zmq_poller_add_fd(poller, pipes[0], NULL, 0) == 0);
    }
    CHECK(zmq_poller_modify_fd(poller, pipes[0], ZMQ_POLLIN) == 0);
    CHECK(write(pipes[1], "x", 1) == 1);
    CHECK(zmq_poller_wait(poller, &event, -1) == 0);
    CHECK(event.socket == NULL && event.fd == pipes[0] && event.events == ZMQ_POLLIN);
    CHECK_FAILS(zmq_poller_wait_all(poller, &event, 0, -1) == -1, EAGAIN);
    CHECK(zmq_poller_remove_fd(poller, pipes[0]) == 0);
    CHECK_FAILS(zmq_poller_wait(poller, &event, -1) == -1, EFAULT);
    CHECK(zmq_poller_modify(poller, socket, ZMQ_POLLIN) == 0);
    CHECK_FAILS(zmq_poller_wait(poller, &event, 1) == -1, EAGAIN);
    CHECK(zmq_poller_modify(poller, socket, 0) == 0);
    CHECK_FAILS(zmq_poller_wait(poller, &event, -1) == -1, EFAULT);
    /* What cannot be a descriptor. */
    CHECK_FAILS(zmq_poller_add_fd(poller, -1, NULL, ZMQ_POLLIN) == -1, EBADF);
    CHECK_FAILS(zmq_poller_modify_fd(poller, -1, ZMQ_POLLIN) == -1, EBADF);
    CHECK_FAILS(zmq_poller_remove_fd(poller, -1) == -1, EBADF);
    /* One that is closed is there no more. */
    CHECK(zmq_poller_modify(poller, socket, ZMQ_POLLIN) == 0);
    CHECK(zmq_close(socket) == 0);
    CHECK_FAILS(zmq_poller_wait(poller, &event, -1) == -1, ENOTSOCK);
    CHECK_FAILS(zmq_poller_wait(poller, &event, -1) == -1, EFAULT);
    CHECK(zmq_poller_destroy(&poller) == 0);
    close(pipes[0]);
    close(pipes[1]);
}

/* An event loop of the program's own around the poller's descriptor. */
static void has_a_descriptor(void)
{
    char endpoint[64], body[16];
    int descriptor = -1;
    zmq_poller_event_t event;
    void *poller = zmq_poller_new(), *pull = open_socket(ZMQ_PULL), *push = open_socket(ZMQ_PUSH);
    CHECK(poller);
    CHECK_FAILS(zmq_poller_fd(NULL, &descriptor) == -1, EFAULT);
    CHECK_FAILS(zmq_poller_fd(poller, NULL) == -1, EFAULT);
    CHECK(zmq_poller_fd(poller, &descriptor) == 0 && descriptor >= 0);
    bind_to_any(pull, endpoint, sizeof endpoint);
    CHECK(zmq_connect(push, endpoint) == 0);
    CHECK(zmq_poller_add(poller, pull, &context, ZMQ_POLLIN) == 0);
    for (int sent = 0; sent < 1000; ++sent) {
        CHECK(zmq_send(push, "message", 7, 0) == 7);
        do
            CHECK(is_readable(descriptor, PATIENCE_MS) == 1);
        while (zmq_poller_wait(poller, &event, 0) == -1);
        CHECK(event.socket == pull && event.user_data == &context && event.events == ZMQ_POLLIN);
        CHECK(is_readable(descriptor, 0) == 1);
        CHECK(zmq_recv(pull, body, sizeof body, ZMQ_DONTWAIT) == 7);
    }
    do
        CHECK_FAILS(zmq_poller_wait(poller, &event, 0) == -1, EAGAIN);
    while (is_readable(descriptor, 10));
    CHECK(zmq_poller_destroy(&poller) == 0);
    CHECK(zmq_close(push) == 0 && zmq_close(pull) == 0);
}

static void asks_for_the_state_of_peers(void)
{
    char endpoint[64], body[16];
    int one = 1, sent = 0;
    void *router = open_socket(ZMQ_ROUTER), *dealer = open_socket(ZMQ_DEALER);
    CHECK(zmq_setsockopt(router, ZMQ_SNDHWM, &one, sizeof one) == 0);
    CHECK(zmq_setsockopt(router, ZMQ_ROUTER_MANDATORY, &one, sizeof one) == 0);
    CHECK(zmq_setsockopt(dealer, ZMQ_RCVHWM, &one, sizeof one) == 0);
    CHECK(zmq_setsockopt(dealer, ZMQ_ROUTING_ID, "it", 2) == 0);
    CHECK_FAILS(zmq_socket_get_peer_state(NULL, "it", 2) == -1, ENOTSOCK);
    CHECK_FAILS(zmq_socket_get_peer_state(dealer, "it", 2) == -1, ENOTSUP);
    CHECK_FAILS(zmq_socket_get_peer_state(router, "it", 2) == -1, EHOSTUNREACH);
    snprintf(endpoint, sizeof endpoint, "inproc://states");
    CHECK(zmq_bind(router, endpoint) == 0 && zmq_connect(dealer, endpoint) == 0);
    CHECK(zmq_send(dealer, "here", 4, 0) == 4);
    CHECK(zmq_recv(router, body, sizeof body, 0) == 2);
    CHECK(zmq_recv(router, body, sizeof body, 0) == 4);
    while (zmq_socket_get_peer_state(router, "it", 2) == ZMQ_POLLOUT) {
        CHECK(zmq_send(router, "it", 2, ZMQ_SNDMORE | ZMQ_DONTWAIT) == 2);
        CHECK(zmq_send(router, "message", 7, ZMQ_DONTWAIT) == 7);
        ++sent;
    }
    CHECK(sent == 2);
    CHECK(zmq_socket_get_peer_state(router, "it", 2) == 0);
    CHECK_FAILS(zmq_send(router, "it", 2, ZMQ_SNDMORE | ZMQ_DONTWAIT) == -1, EAGAIN);
    while (sent--)
        CHECK(zmq_recv(dealer, body, sizeof body, 0) == 7);
    CHECK(zmq_socket_get_peer_state(router, "it", 2) == ZMQ_POLLOUT);
    CHECK(zmq_close(dealer) == 0);
    CHECK_FAILS(zmq_socket_get_peer_state(router, "it", 2) == -1, EHOSTUNREACH);
    CHECK(zmq_close(router) == 0);
}

static uint64_t number(void *socket)
{
    uint64_t value;
    CHECK(zmq_recv(socket, &value, sizeof value, 0) == sizeof value);
    return value;
}

static void asks_for_pipe_statistics(void)
{
    char text[64];
    void *push = open_socket(ZMQ_PUSH), *monitor = open_socket(ZMQ_PAIR);
    CHECK_FAILS(zmq_socket_monitor_pipes_stats(NULL) == -1, ENOTSOCK);
    CHECK_FAILS(zmq_socket_monitor_pipes_stats(push) == -1, EINVAL);
    /* Nobody is told of these by a monitor that is not for them. */
    CHECK(zmq_socket_monitor_versioned(push, "inproc://others", ZMQ_EVENT_ALL_V1, 2, ZMQ_PAIR) == 0);
    CHECK_FAILS(zmq_socket_monitor_pipes_stats(push) == -1, EINVAL);
    CHECK(zmq_socket_monitor_versioned(push, "inproc://these", ZMQ_EVENT_PIPES_STATS, 2,
                                       ZMQ_PAIR) == 0);
    CHECK_FAILS(zmq_socket_monitor_pipes_stats(push) == -1, EAGAIN);
    CHECK(zmq_connect(monitor, "inproc://these") == 0);
    /* Nobody is there yet, so that all of it waits. */
    CHECK(zmq_connect(push, "tcp://127.0.0.1:1") == 0);
    for (int sent = 0; sent < 3; ++sent)
        CHECK(zmq_send(push, "message", 7, 0) == 7);
    CHECK(zmq_socket_monitor_pipes_stats(push) == 0);
    CHECK(number(monitor) == ZMQ_EVENT_PIPES_STATS && number(monitor) == 2);
    CHECK(number(monitor) == 3 && number(monitor) == 0);
    CHECK(zmq_recv(monitor, text, sizeof text, 0) >= 0);
    CHECK(zmq_recv(monitor, text, sizeof text, 0) >= 0);
    CHECK(zmq_close(monitor) == 0 && zmq_close(push) == 0);
}

int main(void)
{
    context = zmq_ctx_new();
    CHECK(context);
    waits_for_nothing();
    has_a_descriptor();
    asks_for_the_state_of_peers();
    asks_for_pipe_statistics();
    CHECK(zmq_ctx_term(context) == 0);
    puts("done");
    return 0;
}
