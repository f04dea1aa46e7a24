// The C interface as cppzmq, which most programs in C++ use, goes through it. Prints "done".

#include "check.h"

#include <string>
#include <thread>
#include <vector>

#include <zmq.hpp>
#include <zmq_addon.hpp>

static std::string endpoint_of(zmq::socket_t &socket)
{
    return socket.get(zmq::sockopt::last_endpoint);
}

static void request_and_reply(zmq::context_t &context)
{
    zmq::socket_t server(context, zmq::socket_type::rep);
    server.bind("tcp://127.0.0.1:*");
    std::thread client([&context, endpoint = endpoint_of(server)] {
        zmq::socket_t client(context, zmq::socket_type::req);
        client.connect(endpoint);
        client.send(zmq::str_buffer("hello"), zmq::send_flags::none);
        zmq::message_t answer;
        CHECK(client.recv(answer) && answer.to_string() == "world");
    });
    zmq::message_t request;
    CHECK(server.recv(request) && request.to_string_view() == "hello");
    server.send(zmq::message_t(std::string("world")), zmq::send_flags::none);
    client.join();
}

static void publish_and_subscribe(zmq::context_t &context)
{
    zmq::socket_t publisher(context, zmq::socket_type::xpub);
    zmq::socket_t subscriber(context, zmq::socket_type::sub);
    publisher.bind("ipc://*");
    subscriber.set(zmq::sockopt::subscribe, "topic");
    subscriber.connect(endpoint_of(publisher));
    zmq::message_t subscription;
    CHECK(publisher.recv(subscription) && subscription.size() == 6);

    // A multipart of parts short and long.
    const std::vector<std::string> sent{"topic", "", std::string(50000, 'x')};
    std::vector<zmq::const_buffer> parts;
    for (const auto &part : sent)
        parts.push_back(zmq::buffer(part));
    CHECK(zmq::send_multipart(publisher, parts));
    std::vector<zmq::message_t> received;
    CHECK(zmq::recv_multipart(subscriber, std::back_inserter(received)));
    CHECK(received.size() == sent.size());
    for (size_t part = 0; part < sent.size(); part++)
        CHECK(received[part].to_string() == sent[part]);
}

static void polling(zmq::context_t &context)
{
    zmq::socket_t left(context, zmq::socket_type::pair), right(context, zmq::socket_type::pair);
    left.bind("inproc://polling");
    right.connect("inproc://polling");
    std::vector<zmq::pollitem_t> items{{left.handle(), 0, ZMQ_POLLIN, 0}};
    CHECK(zmq::poll(items, std::chrono::milliseconds(0)) == 0);
    right.send(zmq::message_t("ping", 4), zmq::send_flags::none);
    CHECK(zmq::poll(items, std::chrono::milliseconds(-1)) == 1 && items[0].revents == ZMQ_POLLIN);
}

static void errors(zmq::context_t &context)
{
    zmq::socket_t socket(context, zmq::socket_type::req);
    try {
        socket.bind("nonsense");
        CHECK(!"an exception");
    } catch (const zmq::error_t &error) {
        CHECK(error.num() == EINVAL && std::string(error.what()) == zmq_strerror(EINVAL));
    }
}

// What libzmq exports, by the types that its header gives: another prototype does not compile.
static void prototypes()
{
    int (*send)(void *, const void *, size_t, int) = zmq_send;
    int (*poll)(zmq_pollitem_t *, int, long) = zmq_poll;
    const char *(*gets)(const zmq_msg_t *, const char *) = zmq_msg_gets;
    unsigned long (*stop)(void *) = zmq_stopwatch_stop;
    CHECK(send && poll && gets && stop);
}

int main()
{
    zmq::context_t context;
    request_and_reply(context);
    publish_and_subscribe(context);
    polling(context);
    errors(context);
    prototypes();
    context.close();
    puts("done");
}
