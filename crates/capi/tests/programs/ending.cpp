// What a program does with the library when a thread of it, or the process, is ending, and what the
// thread had is gone or going.
//
// ending PLACE
//
// A child of the process receives what it sends, and prints "done" if that is all there.

#include "check.h"

#include <cerrno>
#include <cstring>
#include <functional>
#include <map>
#include <string>

#include <pthread.h>
#include <sys/wait.h>
#include <unistd.h>
#include <zmq.hpp>

// The handlers of `exit` are what is tested.
#undef CHECK
#define CHECK(true_)                                                                               \
    do {                                                                                           \
        if (!(true_)) {                                                                            \
            fprintf(stderr, "%s:%d: %s: %s\n", __FILE__, __LINE__, #true_,                         \
                    zmq_strerror(zmq_errno()));                                                    \
            _exit(1);                                                                              \
        }                                                                                          \
    } while (0)

// What has not happened after so long does not happen.
static const int patience_ms = 20000;

static const int messages = 10000;
static void *context, *sender;
static pid_t receiver;

// Half before the end and half in it. The short ones lie in the message, the long ones do not.
static void send(int from, int to)
{
    char body[200] = "";
    for (int number = from; number < to; number++) {
        memcpy(body, &number, sizeof number);
        const size_t size = number % 2 ? sizeof number : sizeof body;
        CHECK(zmq_send(sender, body, size, 0) == (int) size);
    }
}

static void receive(const char *endpoint)
{
    void *context = zmq_ctx_new(), *pull = zmq_socket(context, ZMQ_PULL);
    const int unbounded = 0;
    CHECK(zmq_setsockopt(pull, ZMQ_RCVTIMEO, &patience_ms, sizeof patience_ms) == 0);
    CHECK(zmq_setsockopt(pull, ZMQ_RCVHWM, &unbounded, sizeof unbounded) == 0);
    CHECK(zmq_bind(pull, endpoint) == 0);
    for (int number = 0; number < messages; number++) {
        int sent;
        CHECK(zmq_recv(pull, &sent, sizeof sent, 0) >= (int) sizeof sent && sent == number);
    }
    CHECK(zmq_close(pull) == 0 && zmq_ctx_term(context) == 0);
    puts("done");
}

static void begin()
{
    const std::string endpoint = "ipc://@oxmq-ending-" + std::to_string(getpid());
    receiver = fork();
    CHECK(receiver >= 0);
    if (receiver == 0) {
        receive(endpoint.c_str());
        fflush(stdout);
        _exit(0);
    }
    context = zmq_ctx_new();
    sender = zmq_socket(context, ZMQ_PUSH);
    const int unbounded = 0;
    CHECK(zmq_setsockopt(sender, ZMQ_SNDHWM, &unbounded, sizeof unbounded) == 0);
    CHECK(zmq_connect(sender, endpoint.c_str()) == 0);
}

// A wait in vain, of either kind, and one for what comes.
static void wait_for(void *puller, void *pusher)
{
    char byte;
    const int soon_ms = 1;
    CHECK(zmq_setsockopt(puller, ZMQ_RCVTIMEO, &soon_ms, sizeof soon_ms) == 0);
    CHECK_FAILS(zmq_recv(puller, &byte, 1, 0) == -1, EAGAIN);
    zmq_pollitem_t item = {puller, 0, ZMQ_POLLIN, 0};
    CHECK(zmq_poll(&item, 1, soon_ms) == 0);
    CHECK(zmq_setsockopt(puller, ZMQ_RCVTIMEO, &patience_ms, sizeof patience_ms) == 0);
    for (int number = 0; number < 100; number++) {
        CHECK(zmq_send(pusher, "x", 1, 0) == 1);
        CHECK(zmq_poll(&item, 1, patience_ms) == 1 && item.revents == ZMQ_POLLIN);
        CHECK(zmq_recv(puller, &byte, 1, 0) == 1);
    }
}

// All there is to do with a context, from its beginning to its end.
static void whole_life(const char *endpoint)
{
    void *own = zmq_ctx_new();
    CHECK(own);
    void *pull = zmq_socket(own, ZMQ_PULL), *push = zmq_socket(own, ZMQ_PUSH);
    CHECK(pull && push && zmq_bind(pull, endpoint) == 0);
    char bound[256];
    size_t size = sizeof bound;
    CHECK(zmq_getsockopt(pull, ZMQ_LAST_ENDPOINT, bound, &size) == 0);
    CHECK(zmq_connect(push, bound) == 0);
    wait_for(pull, push);
    zmq_msg_t message;
    CHECK(zmq_msg_init_size(&message, 500) == 0);
    memset(zmq_msg_data(&message), 'x', 500);
    CHECK(zmq_msg_send(&message, push, 0) == 500);
    CHECK(zmq_msg_init(&message) == 0 && zmq_msg_recv(&message, pull, 0) == 500);
    CHECK(zmq_msg_close(&message) == 0);
    CHECK(zmq_close(push) == 0 && zmq_close(pull) == 0 && zmq_ctx_term(own) == 0);
}

static void live()
{
    whole_life("tcp://127.0.0.1:*");
    whole_life("inproc://life");
    send(0, messages / 2);
}

static void end()
{
    send(messages / 2, messages);
    whole_life("tcp://127.0.0.1:*");
    whole_life("inproc://life");
    CHECK(zmq_close(sender) == 0 && zmq_ctx_term(context) == 0);
}

// A child gets an error for what is its parent's, and can have contexts of its own.
static void end_in_a_child_too()
{
    const pid_t child = fork();
    CHECK(child >= 0);
    if (child == 0) {
        CHECK_FAILS(zmq_send(sender, "x", 1, 0) == -1, ENOTSOCK);
        whole_life("tcp://127.0.0.1:*");
        CHECK(zmq_ctx_term(context) == 0);
        _exit(0);
    }
    int status;
    CHECK(waitpid(child, &status, 0) == child && status == 0);
    end();
}

static pthread_key_t make_key()
{
    pthread_key_t key;
    CHECK(pthread_key_create(&key, [](void *) { end(); }) == 0);
    return key;
}

static void run(void *(*thread)(void *), bool detached = false)
{
    pthread_t id;
    CHECK(pthread_create(&id, nullptr, thread, nullptr) == 0);
    CHECK((detached ? pthread_detach(id) : pthread_join(id, nullptr)) == 0);
}

// The key is there before the library has one, or comes after.
static void in_a_key(bool early)
{
    static pthread_key_t key;
    static bool is_early;
    is_early = early;
    if (early)
        key = make_key();
    begin();
    run([](void *) -> void * {
        live();
        if (!is_early)
            key = make_key();
        CHECK(pthread_setspecific(key, context) == 0);
        return nullptr;
    });
}

// The destructor of the thread's own object comes after those of what the library keeps for it.
struct Ends {
    bool armed = false;
    ~Ends()
    {
        if (armed)
            end();
    }
};
static thread_local Ends ends_with_thread;

// A static context, whose end is the process's.
static zmq::context_t *static_context()
{
    static zmq::context_t context;
    return &context;
}

static const std::map<std::string, std::function<void()>> places = {
    {"handler",
     [] {
         begin();
         live();
         CHECK(atexit(end) == 0);
     }},
    {"early-handler",
     [] {
         CHECK(atexit(end) == 0);
         begin();
         live();
     }},
    {"handler-forks",
     [] {
         CHECK(atexit(end_in_a_child_too) == 0);
         begin();
         live();
     }},
    {"other-thread-exits",
     [] {
         CHECK(atexit(end) == 0);
         begin();
         live();
         run([](void *) -> void * {
             whole_life("inproc://life");
             exit(0);
         });
     }},
    {"thread-local",
     [] {
         begin();
         run([](void *) -> void * {
             ends_with_thread.armed = true;
             live();
             return nullptr;
         });
     }},
    {"thread-local-of-main",
     [] {
         ends_with_thread.armed = true;
         begin();
         live();
     }},
    {"early-key", [] { in_a_key(true); }},
    {"late-key", [] { in_a_key(false); }},
    // Its first wait is its last.
    {"key-alone",
     [] {
         static pthread_key_t key;
         key = make_key();
         begin();
         live();
         run([](void *) -> void * {
             CHECK(pthread_setspecific(key, context) == 0);
             return nullptr;
         });
     }},
    {"detached-key",
     [] {
         static pthread_key_t key;
         static int ended[2];
         CHECK(pipe(ended) == 0);
         CHECK(pthread_key_create(&key, [](void *) {
                   end();
                   CHECK(write(ended[1], "x", 1) == 1);
               }) == 0);
         begin();
         run(
             [](void *) -> void * {
                 live();
                 CHECK(pthread_setspecific(key, context) == 0);
                 return nullptr;
             },
             true);
         char byte;
         CHECK(read(ended[0], &byte, 1) == 1);
     }},
    {"static-context",
     [] {
         static_context();
         begin();
         // The context that ends in its destructor has the last of the messages yet to send.
         CHECK(zmq_close(sender) == 0 && zmq_ctx_term(context) == 0);
         zmq::socket_t push(*static_context(), zmq::socket_type::push);
         push.set(zmq::sockopt::sndhwm, 0);
         push.connect("ipc://@oxmq-ending-" + std::to_string(getpid()));
         context = static_context()->handle();
         sender = push.handle();
         live();
         send(messages / 2, messages);
     }},
};

int main(int count, char **arguments)
{
    CHECK(count == 2 && places.count(arguments[1]) == 1);
    places.at(arguments[1])();
    return 0;
}
