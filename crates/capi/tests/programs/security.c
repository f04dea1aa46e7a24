/* NULL with a ZAP handler, PLAIN and CURVE, over tcp and ipc: who is let in, who is not, and what both
 * sides are told. */

#include "check.h"

#include <string.h>

#define HANDLER "inproc://zeromq.zap.01"
/* Longer than anything takes, under valgrind on a loaded machine. */
#define PATIENCE_MS 300000
#define KEY_TEXT 41
/* Among the drafts of zmq.h, but each library has it. */
#define ENFORCE_DOMAIN 93
/* One property: Group, staff. */
#define METADATA "\005Group\0\0\0\005staff"

static void *context;

struct key_pair {
    char public[KEY_TEXT];
    char secret[KEY_TEXT];
};
static struct key_pair server_keys, known, unknown;

static void *open_socket(int type)
{
    int none = 0, patience = PATIENCE_MS;
    void *socket = zmq_socket(context, type);
    CHECK(socket);
    CHECK(zmq_setsockopt(socket, ZMQ_LINGER, &none, sizeof none) == 0);
    CHECK(zmq_setsockopt(socket, ZMQ_RCVTIMEO, &patience, sizeof patience) == 0);
    CHECK(zmq_setsockopt(socket, ZMQ_HANDSHAKE_IVL, &patience, sizeof patience) == 0);
    return socket;
}

static void set_int(void *socket, int option, int value)
{
    CHECK(zmq_setsockopt(socket, option, &value, sizeof value) == 0);
}

static void set_text(void *socket, int option, const char *text)
{
    CHECK(zmq_setsockopt(socket, option, text, strlen(text)) == 0);
}

static int get_int(void *socket, int option)
{
    int value = -1;
    size_t size = sizeof value;
    CHECK(zmq_getsockopt(socket, option, &value, &size) == 0);
    return value;
}

/* The handler of ZAP. */

static void receive_text(void *socket, char *text, size_t room)
{
    int bytes = zmq_recv(socket, text, room - 1, 0);
    CHECK(bytes >= 0 && (size_t) bytes < room);
    text[bytes] = 0;
}

static void send_text(void *socket, const char *text, int flags)
{
    CHECK(zmq_send(socket, text, strlen(text), flags) == (int) strlen(text));
}

/* Answers until it is told to stop. */
static void handle(void *socket)
{
    for (;;) {
        char version[16], id[16], domain[256], address[256], name[256], mechanism[16];
        char user[256] = "", password[256];
        const char *status = "400";
        receive_text(socket, version, sizeof version);
        if (!strcmp(version, "STOP"))
            break;
        CHECK(!strcmp(version, "1.0"));
        receive_text(socket, id, sizeof id);
        receive_text(socket, domain, sizeof domain);
        receive_text(socket, address, sizeof address);
        receive_text(socket, name, sizeof name);
        receive_text(socket, mechanism, sizeof mechanism);
        CHECK(strlen(address) > 0 && !strcmp(name, "the server"));
        if (!strcmp(mechanism, "NULL")) {
            CHECK(get_int(socket, ZMQ_RCVMORE) == 0);
            if (!strcmp(domain, "open"))
                status = "200", strcpy(user, "anybody");
        } else if (!strcmp(mechanism, "PLAIN")) {
            receive_text(socket, user, sizeof user);
            receive_text(socket, password, sizeof password);
            if (!strcmp(user, "admin") && !strcmp(password, "secret"))
                status = "200";
        } else {
            uint8_t key[32];
            char text[KEY_TEXT];
            CHECK(!strcmp(mechanism, "CURVE"));
            CHECK(zmq_recv(socket, key, sizeof key, 0) == sizeof key);
            CHECK(zmq_z85_encode(text, key, sizeof key));
            if (!strcmp(text, known.public))
                status = "200", strcpy(user, "ann");
        }
        CHECK(get_int(socket, ZMQ_RCVMORE) == 0);
        send_text(socket, "1.0", ZMQ_SNDMORE);
        send_text(socket, id, ZMQ_SNDMORE);
        send_text(socket, status, ZMQ_SNDMORE);
        send_text(socket, "decided", ZMQ_SNDMORE);
        send_text(socket, user, ZMQ_SNDMORE);
        CHECK(zmq_send(socket, METADATA, sizeof METADATA - 1, 0) == sizeof METADATA - 1);
    }
    send_text(socket, "stopped", 0);
    CHECK(zmq_unbind(socket, HANDLER) == 0);
    CHECK(zmq_close(socket) == 0);
}

static void *start_handler(void)
{
    int none = 0;
    void *socket = zmq_socket(context, ZMQ_REP), *thread;
    CHECK(socket && zmq_setsockopt(socket, ZMQ_LINGER, &none, sizeof none) == 0);
    CHECK(zmq_bind(socket, HANDLER) == 0);
    thread = zmq_threadstart(handle, socket);
    CHECK(thread);
    return thread;
}

static void stop_handler(void *thread)
{
    char text[16];
    void *socket = open_socket(ZMQ_REQ);
    CHECK(zmq_connect(socket, HANDLER) == 0);
    send_text(socket, "STOP", 0);
    receive_text(socket, text, sizeof text);
    zmq_threadclose(thread);
    CHECK(zmq_close(socket) == 0);
}

/* A server and a client. */

struct pair {
    void *server, *client;
    void *server_events, *client_events;
};

static void *watch(void *socket)
{
    static int watched;
    char endpoint[32];
    int events = ZMQ_EVENT_HANDSHAKE_FAILED_NO_DETAIL | ZMQ_EVENT_HANDSHAKE_SUCCEEDED
                 | ZMQ_EVENT_HANDSHAKE_FAILED_PROTOCOL | ZMQ_EVENT_HANDSHAKE_FAILED_AUTH;
    void *monitor = open_socket(ZMQ_PAIR);
    snprintf(endpoint, sizeof endpoint, "inproc://events-%d", ++watched);
    CHECK(zmq_socket_monitor(socket, endpoint, events) == 0);
    CHECK(zmq_connect(monitor, endpoint) == 0);
    return monitor;
}

static struct pair open_pair(void)
{
    struct pair pair = {.server = open_socket(ZMQ_DEALER), .client = open_socket(ZMQ_DEALER)};
    set_text(pair.server, ZMQ_ROUTING_ID, "the server");
    pair.server_events = watch(pair.server);
    pair.client_events = watch(pair.client);
    return pair;
}

static void join(struct pair pair, const char *place)
{
    char endpoint[256];
    size_t size = sizeof endpoint;
    CHECK(zmq_bind(pair.server, place) == 0);
    CHECK(zmq_getsockopt(pair.server, ZMQ_LAST_ENDPOINT, endpoint, &size) == 0);
    CHECK(zmq_connect(pair.client, endpoint) == 0);
}

static void close_pair(struct pair pair)
{
    /* Monitors end first: libzmq waits for them in the thread that ends all sockets. */
    CHECK(zmq_socket_monitor(pair.server, NULL, 0) == 0);
    CHECK(zmq_socket_monitor(pair.client, NULL, 0) == 0);
    CHECK(zmq_close(pair.server) == 0 && zmq_close(pair.client) == 0);
    CHECK(zmq_close(pair.server_events) == 0 && zmq_close(pair.client_events) == 0);
}

/* The next event's number, and its value. */
static int next_event(void *monitor, int *value)
{
    uint8_t found[6];
    uint16_t number;
    char endpoint[256];
    CHECK(zmq_recv(monitor, found, sizeof found, 0) == sizeof found);
    receive_text(monitor, endpoint, sizeof endpoint);
    memcpy(&number, found, sizeof number);
    memcpy(value, found + sizeof number, sizeof *value);
    return number;
}

/* How the handshake ended. */
static void expect(void *monitor, int event, int value)
{
    int detail, number = next_event(monitor, &detail);
    if (number != event || (value && detail != value))
        fprintf(stderr, "event %#x %#x, expected %#x %#x\n", (unsigned) number,
                (unsigned) detail, (unsigned) event, (unsigned) value);
    CHECK(number == event && (!value || detail == value));
}

/* Both say so, and a message goes each way; the server's knows its user, if there is one. */
static void meet(struct pair pair, const char *place, const char *user)
{
    zmq_msg_t message;
    char text[16];
    const char *property;
    join(pair, place);
    expect(pair.client_events, ZMQ_EVENT_HANDSHAKE_SUCCEEDED, 0);
    expect(pair.server_events, ZMQ_EVENT_HANDSHAKE_SUCCEEDED, 0);
    send_text(pair.client, "there", 0);
    CHECK(zmq_msg_init(&message) == 0);
    CHECK(zmq_msg_recv(&message, pair.server, 0) == 5);
    CHECK(!memcmp(zmq_msg_data(&message), "there", 5));
    property = zmq_msg_gets(&message, "User-Id");
    if (user) {
        CHECK(property && !strcmp(property, user));
        property = zmq_msg_gets(&message, "Group");
        CHECK(property && !strcmp(property, "staff"));
    } else {
        CHECK_FAILS(!property, EINVAL);
    }
    CHECK(zmq_msg_close(&message) == 0);
    send_text(pair.server, "and back", 0);
    receive_text(pair.client, text, sizeof text);
    CHECK(!strcmp(text, "and back"));
    close_pair(pair);
}

/* The handler, or the lack of one, keeps the client out; each side is told so. */
static void stay_out(struct pair pair, const char *place, int event, int value)
{
    char text[16];
    join(pair, place);
    /* It may have been refused by now, and then there is nobody to send to. */
    zmq_send(pair.client, "lost", 4, ZMQ_DONTWAIT);
    expect(pair.server_events, event, value);
    if (event == ZMQ_EVENT_HANDSHAKE_FAILED_AUTH)
        expect(pair.client_events, event, value);
    CHECK_FAILS(zmq_recv(pair.server, text, sizeof text, ZMQ_DONTWAIT) == -1, EAGAIN);
    close_pair(pair);
}

static struct pair null_pair(const char *domain)
{
    struct pair pair = open_pair();
    if (domain)
        set_text(pair.server, ZMQ_ZAP_DOMAIN, domain);
    return pair;
}

static struct pair plain_pair(const char *user, const char *password)
{
    struct pair pair = open_pair();
    set_int(pair.server, ZMQ_PLAIN_SERVER, 1);
    set_text(pair.client, ZMQ_PLAIN_USERNAME, user);
    set_text(pair.client, ZMQ_PLAIN_PASSWORD, password);
    CHECK(get_int(pair.server, ZMQ_MECHANISM) == ZMQ_PLAIN);
    CHECK(get_int(pair.client, ZMQ_MECHANISM) == ZMQ_PLAIN);
    return pair;
}

static struct pair curve_pair(const struct key_pair *keys, const char *server)
{
    struct pair pair = open_pair();
    uint8_t binary[32];
    set_int(pair.server, ZMQ_CURVE_SERVER, 1);
    CHECK(zmq_z85_decode(binary, server_keys.secret));
    CHECK(zmq_setsockopt(pair.server, ZMQ_CURVE_SECRETKEY, binary, sizeof binary) == 0);
    CHECK(zmq_setsockopt(pair.client, ZMQ_CURVE_SERVERKEY, server, KEY_TEXT) == 0);
    set_text(pair.client, ZMQ_CURVE_PUBLICKEY, keys->public);
    set_text(pair.client, ZMQ_CURVE_SECRETKEY, keys->secret);
    CHECK(get_int(pair.server, ZMQ_CURVE_SERVER) == 1 && get_int(pair.client, ZMQ_CURVE_SERVER) == 0);
    CHECK(get_int(pair.client, ZMQ_MECHANISM) == ZMQ_CURVE);
    return pair;
}

/* Two mechanisms: whoever sees it first leaves, and the other may not have seen it then. */
static void have_nothing_in_common(const char *place)
{
    struct pair pair = plain_pair("admin", "secret");
    int value;
    set_int(pair.server, ZMQ_CURVE_SERVER, 1);
    join(pair, place);
    if (next_event(pair.server_events, &value) == ZMQ_EVENT_HANDSHAKE_FAILED_PROTOCOL)
        CHECK(value == ZMQ_PROTOCOL_ERROR_ZMTP_MECHANISM_MISMATCH);
    else
        expect(pair.client_events, ZMQ_EVENT_HANDSHAKE_FAILED_PROTOCOL,
               ZMQ_PROTOCOL_ERROR_ZMTP_MECHANISM_MISMATCH);
    close_pair(pair);
}

static void with_a_handler(const char *place)
{
    void *handler = start_handler();
    meet(null_pair(NULL), place, NULL);
    meet(null_pair("open"), place, "anybody");
    stay_out(null_pair("closed"), place, ZMQ_EVENT_HANDSHAKE_FAILED_AUTH, 400);

    meet(plain_pair("admin", "secret"), place, "admin");
    stay_out(plain_pair("admin", "guess"), place, ZMQ_EVENT_HANDSHAKE_FAILED_AUTH, 400);
    stay_out(plain_pair("nobody", "secret"), place, ZMQ_EVENT_HANDSHAKE_FAILED_AUTH, 400);

    meet(curve_pair(&known, server_keys.public), place, "ann");
    stay_out(curve_pair(&unknown, server_keys.public), place, ZMQ_EVENT_HANDSHAKE_FAILED_AUTH, 400);
    stay_out(curve_pair(&known, unknown.public), place, ZMQ_EVENT_HANDSHAKE_FAILED_PROTOCOL,
             ZMQ_PROTOCOL_ERROR_ZMTP_CRYPTOGRAPHIC);

    have_nothing_in_common(place);
    stop_handler(handler);
}

static void without_a_handler(const char *place)
{
    struct pair pair;
    meet(null_pair("open"), place, NULL);
    pair = null_pair("open");
    set_int(pair.server, ENFORCE_DOMAIN, 1);
    stay_out(pair, place, ZMQ_EVENT_HANDSHAKE_FAILED_NO_DETAIL, EFAULT);

    stay_out(plain_pair("admin", "secret"), place, ZMQ_EVENT_HANDSHAKE_FAILED_NO_DETAIL, EFAULT);

    meet(curve_pair(&unknown, server_keys.public), place, NULL);
    pair = curve_pair(&known, server_keys.public);
    set_text(pair.server, ZMQ_ZAP_DOMAIN, "open");
    set_int(pair.server, ENFORCE_DOMAIN, 1);
    stay_out(pair, place, ZMQ_EVENT_HANDSHAKE_FAILED_NO_DETAIL, EFAULT);
}

/* What is sealed is no longer than what is sent, but for its seal. */
static void carries_much(const char *place)
{
    static uint8_t sent[1 << 20], received[sizeof sent];
    struct pair pair = curve_pair(&known, server_keys.public);
    size_t sizes[] = {0, 1, 255, 256, 8192, 70000, sizeof sent}, at, byte;
    for (byte = 0; byte < sizeof sent; ++byte)
        sent[byte] = (uint8_t) (byte * 131 >> 7);
    join(pair, place);
    for (at = 0; at < sizeof sizes / sizeof *sizes; ++at)
        CHECK(zmq_send(pair.client, sent, sizes[at], at % 3 ? 0 : ZMQ_SNDMORE) == (int) sizes[at]);
    CHECK(zmq_send(pair.client, "end", 3, 0) == 3);
    for (at = 0; at < sizeof sizes / sizeof *sizes; ++at) {
        CHECK(zmq_recv(pair.server, received, sizeof received, 0) == (int) sizes[at]);
        CHECK(!memcmp(sent, received, sizes[at]));
        CHECK(get_int(pair.server, ZMQ_RCVMORE) == (at % 3 == 0));
    }
    CHECK(zmq_recv(pair.server, received, sizeof received, 0) == 3);
    close_pair(pair);
}

static void options_are_kept(void)
{
    void *socket = open_socket(ZMQ_PAIR);
    uint8_t key[32];
    char text[256];
    size_t size;
    CHECK(zmq_has("curve") == 1);
    CHECK(get_int(socket, ZMQ_MECHANISM) == ZMQ_NULL);
    /* Names are text, and are read with the zero byte behind it. */
    set_text(socket, ZMQ_PLAIN_USERNAME, "admin");
    size = sizeof text;
    CHECK(zmq_getsockopt(socket, ZMQ_PLAIN_USERNAME, text, &size) == 0);
    CHECK(size == 6 && !strcmp(text, "admin"));
    size = 5;
    CHECK_FAILS(zmq_getsockopt(socket, ZMQ_PLAIN_USERNAME, text, &size) == -1, EINVAL);
    memset(text, 'a', sizeof text);
    CHECK(zmq_setsockopt(socket, ZMQ_PLAIN_PASSWORD, text, 255) == 0);
    CHECK_FAILS(zmq_setsockopt(socket, ZMQ_PLAIN_PASSWORD, text, 256) == -1, EINVAL);
    CHECK_FAILS(zmq_setsockopt(socket, ZMQ_PLAIN_PASSWORD, text, 0) == -1, EINVAL);
    CHECK(get_int(socket, ZMQ_MECHANISM) == ZMQ_PLAIN);
    CHECK(zmq_setsockopt(socket, ZMQ_PLAIN_PASSWORD, NULL, 0) == 0);
    CHECK(get_int(socket, ZMQ_MECHANISM) == ZMQ_NULL);
    size = sizeof text;
    CHECK(zmq_getsockopt(socket, ZMQ_PLAIN_PASSWORD, text, &size) == 0 && size == 256);
    /* Keys are bytes or text, each of its size. */
    CHECK(zmq_setsockopt(socket, ZMQ_CURVE_PUBLICKEY, known.public, 40) == 0);
    CHECK(get_int(socket, ZMQ_MECHANISM) == ZMQ_CURVE);
    size = sizeof key;
    CHECK(zmq_getsockopt(socket, ZMQ_CURVE_PUBLICKEY, key, &size) == 0 && size == 32);
    CHECK(zmq_z85_encode(text, key, sizeof key) && !strcmp(text, known.public));
    size = KEY_TEXT;
    CHECK(zmq_setsockopt(socket, ZMQ_CURVE_SERVERKEY, key, sizeof key) == 0);
    CHECK(zmq_getsockopt(socket, ZMQ_CURVE_SERVERKEY, text, &size) == 0 && size == KEY_TEXT);
    CHECK(!strcmp(text, known.public));
    size = 40;
    CHECK_FAILS(zmq_getsockopt(socket, ZMQ_CURVE_SERVERKEY, text, &size) == -1, EINVAL);
    CHECK_FAILS(zmq_setsockopt(socket, ZMQ_CURVE_SERVERKEY, key, 31) == -1, EINVAL);
    CHECK(zmq_close(socket) == 0);
}

int main(void)
{
    static const char *const places[] = {"tcp://127.0.0.1:*", "ipc://*"};
    struct key_pair *pairs[] = {&server_keys, &known, &unknown};
    size_t at;
    context = zmq_ctx_new();
    CHECK(context);
    for (at = 0; at < sizeof pairs / sizeof *pairs; ++at)
        CHECK(zmq_curve_keypair(pairs[at]->public, pairs[at]->secret) == 0);
    options_are_kept();
    for (at = 0; at < sizeof places / sizeof *places; ++at) {
        without_a_handler(places[at]);
        with_a_handler(places[at]);
        carries_much(places[at]);
    }
    CHECK(zmq_ctx_term(context) == 0);
    puts("done");
    return 0;
}
