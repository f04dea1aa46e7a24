/* A tour of the C interface: every pattern, over every transport, and the helpers. Prints "done". */

#include "check.h"

#include <string.h>

static void *context;

static void *open_socket(int type)
{
    int patience = 300000, none = 0;
    void *socket = zmq_socket(context, type);
    CHECK(socket);
    CHECK(zmq_setsockopt(socket, ZMQ_RCVTIMEO, &patience, sizeof patience) == 0);
    CHECK(zmq_setsockopt(socket, ZMQ_SNDTIMEO, &patience, sizeof patience) == 0);
    CHECK(zmq_setsockopt(socket, ZMQ_LINGER, &none, sizeof none) == 0);
    return socket;
}

/* Binds one, and connects the other to where that is. */
static void join(void *bound, void *connected, const char *endpoint)
{
    static int number;
    char actual[256];
    size_t size = sizeof actual;
    if (strcmp(endpoint, "inproc://*") == 0) {
        /* libzmq keeps a name for a moment after its socket is closed. */
        sprintf(actual, "inproc://%d", ++number);
        endpoint = actual;
    }
    CHECK(zmq_bind(bound, endpoint) == 0);
    CHECK(zmq_getsockopt(bound, ZMQ_LAST_ENDPOINT, actual, &size) == 0);
    CHECK(strlen(actual) + 1 == size);
    CHECK(zmq_connect(connected, actual) == 0);
}

static void expect(void *socket, const char *text)
{
    char got[256];
    int size = zmq_recv(socket, got, sizeof got, 0);
    CHECK(size == (int)strlen(text) && memcmp(got, text, strlen(text)) == 0);
}

static void say(void *socket, const char *text, int flags)
{
    CHECK(zmq_send(socket, text, strlen(text), flags) == (int)strlen(text));
}

static void request_and_reply(const char *endpoint)
{
    void *client = open_socket(ZMQ_REQ), *server = open_socket(ZMQ_REP);
    join(server, client, endpoint);
    say(client, "hello", 0);
    expect(server, "hello");
    CHECK_FAILS(zmq_send(client, "", 0, 0) == -1, EFSM);
    say(server, "wor", ZMQ_SNDMORE);
    say(server, "ld", 0);
    {
        int more = 0;
        size_t size = sizeof more;
        expect(client, "wor");
        CHECK(zmq_getsockopt(client, ZMQ_RCVMORE, &more, &size) == 0 && more == 1);
        expect(client, "ld");
    }
    CHECK(zmq_close(client) == 0 && zmq_close(server) == 0);
    CHECK_FAILS(zmq_close(client) == -1, ENOTSOCK);
}

static void publish_and_subscribe(const char *endpoint)
{
    void *publisher = open_socket(ZMQ_XPUB), *subscriber = open_socket(ZMQ_SUB);
    CHECK(zmq_setsockopt(subscriber, ZMQ_SUBSCRIBE, "a", 1) == 0);
    join(publisher, subscriber, endpoint);
    expect(publisher, "\1a");
    say(publisher, "b: not for us", 0);
    say(publisher, "a: for us", 0);
    expect(subscriber, "a: for us");
    CHECK_FAILS(zmq_recv(subscriber, NULL, 0, ZMQ_DONTWAIT) == -1, EAGAIN);
    CHECK(zmq_close(publisher) == 0 && zmq_close(subscriber) == 0);
}

static int freed;

static void free_body(void *data, void *hint)
{
    CHECK(hint == &freed);
    freed += 1;
    free(data);
}

/* A long message that is not copied, of several parts, its copy, and what is left of both. */
static void messages(const char *endpoint)
{
    const size_t size = 100000;
    void *push = open_socket(ZMQ_PUSH), *pull = open_socket(ZMQ_PULL);
    char *body = (char *)malloc(size);
    zmq_msg_t one, two;
    CHECK(body);
    memset(body, 'x', size);
    join(pull, push, endpoint);

    freed = 0;
    CHECK(zmq_msg_init_data(&one, body, size, free_body, &freed) == 0);
    CHECK(zmq_msg_init(&two) == 0 && zmq_msg_copy(&two, &one) == 0);
    CHECK(zmq_msg_size(&two) == size && zmq_msg_get(&two, ZMQ_SHARED) == 1);
    CHECK(zmq_msg_send(&one, push, ZMQ_SNDMORE) == (int)size);
    CHECK(zmq_msg_size(&one) == 0);
    CHECK(zmq_msg_send(&two, push, 0) == (int)size);

    CHECK(zmq_msg_recv(&one, pull, 0) == (int)size && zmq_msg_more(&one) == 1);
    CHECK(zmq_msg_recv(&two, pull, 0) == (int)size && zmq_msg_more(&two) == 0);
    CHECK(((char *)zmq_msg_data(&two))[size - 1] == 'x');
    CHECK(zmq_msg_move(&one, &two) == 0 && zmq_msg_size(&two) == 0);
    CHECK(zmq_msg_close(&one) == 0 && zmq_msg_close(&two) == 0);
    CHECK(zmq_close(push) == 0 && zmq_close(pull) == 0);
}

/* Receives a message whose connection is known. */
static void receive_from(void *socket, zmq_msg_t *message)
{
    const char *address;
    CHECK(zmq_msg_recv(message, socket, 0) >= 0);
    address = zmq_msg_gets(message, "Peer-Address");
    CHECK(address && strcmp(address, "127.0.0.1") == 0);
    CHECK(zmq_msg_get(message, ZMQ_SRCFD) > 2);
}

/* Connections without the protocol: a routing id and bytes, whatever is said to follow. */
static void bare_connections(void)
{
    void *client = open_socket(ZMQ_STREAM), *server = open_socket(ZMQ_STREAM);
    zmq_msg_t id;
    char own[256];
    size_t size = sizeof own;
    int two = 2;
    CHECK_FAILS(zmq_setsockopt(server, ZMQ_STREAM_NOTIFY, &two, sizeof two) == -1, EINVAL);
    join(server, client, "tcp://127.0.0.1:*");
    CHECK(zmq_getsockopt(client, ZMQ_ROUTING_ID, own, &size) == 0 && size == 5 && own[0] == 0);
    CHECK(zmq_msg_init(&id) == 0);
    receive_from(client, &id);
    CHECK(zmq_msg_size(&id) == size && memcmp(zmq_msg_data(&id), own, size) == 0);
    expect(client, "");
    receive_from(server, &id);
    expect(server, "");
    CHECK_FAILS(zmq_send(client, "nobody", 6, ZMQ_SNDMORE) == -1, EHOSTUNREACH);
    CHECK(zmq_send(client, own, size, ZMQ_SNDMORE) == 5);
    say(client, "question", 0);
    receive_from(server, &id);
    expect(server, "question");
    CHECK(zmq_send(server, zmq_msg_data(&id), 5, ZMQ_SNDMORE) == 5);
    say(server, "answer", ZMQ_SNDMORE);
    CHECK(zmq_send(server, zmq_msg_data(&id), 5, ZMQ_SNDMORE) == 5);
    CHECK(zmq_send(server, "", 0, ZMQ_SNDMORE) == 0);
    CHECK_FAILS(zmq_msg_send(&id, server, ZMQ_SNDMORE) == -1, EHOSTUNREACH);
    receive_from(client, &id);
    expect(client, "answer");
    CHECK(zmq_msg_close(&id) == 0);
    CHECK(zmq_close(client) == 0 && zmq_close(server) == 0);
}

/* What a message says of who sent it. */
static void metadata(void)
{
    void *router = open_socket(ZMQ_ROUTER), *dealer = open_socket(ZMQ_DEALER);
    zmq_msg_t message;
    int part;
    CHECK(zmq_setsockopt(dealer, ZMQ_ROUTING_ID, "me", 2) == 0);
    join(router, dealer, "tcp://127.0.0.1:*");
    say(dealer, "hello", 0);
    CHECK(zmq_msg_init(&message) == 0);
    CHECK_FAILS(zmq_msg_gets(&message, "Socket-Type") == NULL, EINVAL);
    CHECK_FAILS(zmq_msg_get(&message, ZMQ_SRCFD) == -1, EINVAL);
    for (part = 0; part < 2; part++) {
        receive_from(router, &message);
        CHECK(strcmp(zmq_msg_gets(&message, "Socket-Type"), "DEALER") == 0);
        CHECK(strcmp(zmq_msg_gets(&message, "Identity"), "me") == 0);
        CHECK_FAILS(zmq_msg_gets(&message, "User-Id") == NULL, EINVAL);
        CHECK_FAILS(zmq_msg_gets(&message, "X-other") == NULL, EINVAL);
    }
    CHECK(zmq_msg_close(&message) == 0);
    CHECK(zmq_close(router) == 0 && zmq_close(dealer) == 0);
}

static void polling(void)
{
    void *left = open_socket(ZMQ_PAIR), *right = open_socket(ZMQ_PAIR);
    zmq_pollitem_t items[2];
    memset(items, 0, sizeof items);
    items[0].socket = left;
    items[0].events = ZMQ_POLLIN;
    items[1].socket = right;
    items[1].events = ZMQ_POLLIN | ZMQ_POLLOUT;
    join(left, right, "inproc://*");
    CHECK(zmq_poll(items, 1, 0) == 0);
    CHECK(zmq_poll(items, 2, -1) == 1 && items[1].revents == ZMQ_POLLOUT);
    say(right, "ping", 0);
    CHECK(zmq_poll(items, 1, -1) == 1 && items[0].revents == ZMQ_POLLIN);
    expect(left, "ping");
    CHECK_FAILS(zmq_poll(NULL, 1, 0) == -1, EFAULT);
    CHECK(zmq_close(left) == 0 && zmq_close(right) == 0);
}

static void count(int timer, void *arg)
{
    CHECK(timer == 1);
    *(int *)arg += 1;
}

static void timers(void)
{
    void *set = zmq_timers_new();
    int fired = 0;
    CHECK(set && zmq_timers_timeout(set) == -1);
    CHECK(zmq_timers_add(set, 2, count, &fired) == 1);
    while (fired < 3) {
        CHECK(zmq_poll(NULL, 0, zmq_timers_timeout(set)) == 0);
        CHECK(zmq_timers_execute(set) == 0);
    }
    CHECK(zmq_timers_cancel(set, 1) == 0 && zmq_timers_timeout(set) == -1);
    CHECK(zmq_timers_destroy(&set) == 0 && set == NULL);
}

static void echo(void *endpoint)
{
    void *server = open_socket(ZMQ_REP);
    zmq_msg_t message;
    CHECK(zmq_connect(server, (const char *)endpoint) == 0);
    CHECK(zmq_msg_init(&message) == 0);
    CHECK(zmq_msg_recv(&message, server, 0) == 4);
    CHECK(zmq_msg_send(&message, server, 0) == 4);
    CHECK(zmq_msg_close(&message) == 0 && zmq_close(server) == 0);
}

static void threads(void)
{
    char endpoint[] = "inproc://threads";
    void *client = open_socket(ZMQ_REQ), *counter = zmq_atomic_counter_new();
    void *watch = zmq_stopwatch_start(), *thread;
    CHECK(counter && watch);
    CHECK(zmq_bind(client, endpoint) == 0);
    thread = zmq_threadstart(echo, endpoint);
    CHECK(thread);
    say(client, "echo", 0);
    expect(client, "echo");
    zmq_threadclose(thread);
    CHECK(zmq_close(client) == 0);
    CHECK(zmq_atomic_counter_inc(counter) == 0 && zmq_atomic_counter_dec(counter) == 0);
    zmq_atomic_counter_destroy(&counter);
    CHECK(counter == NULL && zmq_stopwatch_stop(watch) > 0);
}

static void keys(void)
{
    char public_key[41], secret_key[41], derived[41];
    uint8_t bytes[32];
    CHECK(zmq_curve_keypair(public_key, secret_key) == 0);
    CHECK(zmq_curve_public(derived, secret_key) == 0 && strcmp(derived, public_key) == 0);
    CHECK(zmq_z85_decode(bytes, public_key) == bytes);
    CHECK(zmq_z85_encode(derived, bytes, sizeof bytes) == derived);
    CHECK(strcmp(derived, public_key) == 0);
}

int main(void)
{
    static const char *const endpoints[] = {"inproc://*", "tcp://127.0.0.1:*", "ipc://*"};
    int major, minor, patch;
    size_t index;

    zmq_version(&major, &minor, &patch);
    CHECK(major == ZMQ_VERSION_MAJOR && minor == ZMQ_VERSION_MINOR);
    CHECK(zmq_has("ipc") == 1 && zmq_has("nothing like that") == 0);
    context = zmq_ctx_new();
    CHECK(context && zmq_ctx_set(context, ZMQ_IO_THREADS, 2) == 0);
    CHECK(zmq_ctx_get(context, ZMQ_MSG_T_SIZE) == (int)sizeof(zmq_msg_t));

    for (index = 0; index < sizeof endpoints / sizeof *endpoints; index++) {
        request_and_reply(endpoints[index]);
        publish_and_subscribe(endpoints[index]);
        messages(endpoints[index]);
    }
    bare_connections();
    metadata();
    polling();
    timers();
    threads();
    keys();

    CHECK(zmq_ctx_term(context) == 0);
    /* The last of the messages over its own bytes is gone now, if not before. */
    CHECK(freed == 1);
    CHECK_FAILS(zmq_socket(context, ZMQ_PAIR) == NULL, EFAULT);
    puts("done");
    return 0;
}
