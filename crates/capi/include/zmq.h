/* SPDX-License-Identifier: MIT OR Apache-2.0
 *
 * The C interface of ØMQ, as libzmq.so.5 of oxmq offers it. Sources and binaries made for
 * libzmq 4 work with it unchanged.
 *
 * Unless its description says otherwise, a function that returns an int returns 0 (or a number that
 * is described) when it has done its work, and -1 when it has not; one that returns a pointer
 * returns NULL then. zmq_errno() tells why. Every function that takes a socket may fail with
 *
 *   ENOTSOCK  that is no open socket
 *   ETERM     its context is being terminated: close the socket
 *
 * and every one that takes a context, poller or set of timers with EFAULT: it is none. A call that
 * waits fails with EINTR when a signal handler has run meanwhile; call again, if you like.
 *
 * A socket may be used by any thread, also by several at a time.
 *
 * In descriptions of options "int 0|1" is the type of the value and what it may be, "= 100" the
 * default. Times are milliseconds, sizes bytes, unless another unit is given.
 */

#ifndef __ZMQ_H_INCLUDED__
#define __ZMQ_H_INCLUDED__

/* The version of libzmq whose interface this is; zmq_version() tells that of the library in use. */
#define ZMQ_VERSION_MAJOR 4
#define ZMQ_VERSION_MINOR 3
#define ZMQ_VERSION_PATCH 6

/* A version as one number, to compare with ZMQ_VERSION. */
#define ZMQ_MAKE_VERSION(major, minor, patch) ((major) * 10000 + (minor) * 100 + (patch))
#define ZMQ_VERSION ZMQ_MAKE_VERSION(ZMQ_VERSION_MAJOR, ZMQ_VERSION_MINOR, ZMQ_VERSION_PATCH)

#ifndef _WIN32_WCE
#include <errno.h>
#endif
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#ifndef _WIN32
#include <signal.h>
#endif

/* The integer types of fixed size come with this file. */
#define ZMQ_DEFINED_STDINT 1

/* How functions are imported. Define ZMQ_STATIC where the static library is linked on Windows,
 * ZMQ_NO_EXPORT where nothing is to be said about it. */
#if defined ZMQ_NO_EXPORT
#define ZMQ_EXPORT
#elif defined _WIN32 && defined ZMQ_STATIC
#define ZMQ_EXPORT
#elif defined _WIN32 && defined DLL_EXPORT
#define ZMQ_EXPORT __declspec(dllexport)
#elif defined _WIN32
#define ZMQ_EXPORT __declspec(dllimport)
#elif defined __GNUC__ && __GNUC__ >= 4
#define ZMQ_EXPORT __attribute__((visibility("default")))
#else
#define ZMQ_EXPORT
#endif

#ifdef __cplusplus
extern "C" {
#endif

/* ------------------------------------------------------------------------------------------------
 * Version and capabilities
 * --------------------------------------------------------------------------------------------- */

/* Stores the version of the library in use; where a pointer is NULL, that part is left out. */
ZMQ_EXPORT void zmq_version(int *major, int *minor, int *patch);

/* zmq_has() exists. */
#define ZMQ_HAS_CAPABILITIES 1

/* Whether the library can do a thing, 1 or 0: a transport ("ipc", "pgm", "tipc", "norm", "vmci",
 * "vsock", "WS", "WSS"), a mechanism ("curve", "gssapi"), or "draft", the functions and options at
 * the end of this file. Of a name that it does not know it says 0. */
ZMQ_EXPORT int zmq_has(const char *capability);

/* ------------------------------------------------------------------------------------------------
 * Errors
 * --------------------------------------------------------------------------------------------- */

/* Where the numbers of ØMQ's own errors begin, far from those of any system. */
#define ZMQ_HAUSNUMERO 156384712

/* POSIX has these; the numbers are for systems that do not. */
#ifndef ENOTSUP
#define ENOTSUP (ZMQ_HAUSNUMERO + 1)
#endif
#ifndef EPROTONOSUPPORT
#define EPROTONOSUPPORT (ZMQ_HAUSNUMERO + 2)
#endif
#ifndef ENOBUFS
#define ENOBUFS (ZMQ_HAUSNUMERO + 3)
#endif
#ifndef ENETDOWN
#define ENETDOWN (ZMQ_HAUSNUMERO + 4)
#endif
#ifndef EADDRINUSE
#define EADDRINUSE (ZMQ_HAUSNUMERO + 5)
#endif
#ifndef EADDRNOTAVAIL
#define EADDRNOTAVAIL (ZMQ_HAUSNUMERO + 6)
#endif
#ifndef ECONNREFUSED
#define ECONNREFUSED (ZMQ_HAUSNUMERO + 7)
#endif
#ifndef EINPROGRESS
#define EINPROGRESS (ZMQ_HAUSNUMERO + 8)
#endif
#ifndef ENOTSOCK
#define ENOTSOCK (ZMQ_HAUSNUMERO + 9)
#endif
#ifndef EMSGSIZE
#define EMSGSIZE (ZMQ_HAUSNUMERO + 10)
#endif
#ifndef EAFNOSUPPORT
#define EAFNOSUPPORT (ZMQ_HAUSNUMERO + 11)
#endif
#ifndef ENETUNREACH
#define ENETUNREACH (ZMQ_HAUSNUMERO + 12)
#endif
#ifndef ECONNABORTED
#define ECONNABORTED (ZMQ_HAUSNUMERO + 13)
#endif
#ifndef ECONNRESET
#define ECONNRESET (ZMQ_HAUSNUMERO + 14)
#endif
#ifndef ENOTCONN
#define ENOTCONN (ZMQ_HAUSNUMERO + 15)
#endif
#ifndef ETIMEDOUT
#define ETIMEDOUT (ZMQ_HAUSNUMERO + 16)
#endif
#ifndef EHOSTUNREACH
#define EHOSTUNREACH (ZMQ_HAUSNUMERO + 17)
#endif
#ifndef ENETRESET
#define ENETRESET (ZMQ_HAUSNUMERO + 18)
#endif

#define EFSM (ZMQ_HAUSNUMERO + 51)           /* not the socket's turn for this */
#define ENOCOMPATPROTO (ZMQ_HAUSNUMERO + 52) /* the transport does not carry this type of socket */
#define ETERM (ZMQ_HAUSNUMERO + 53)          /* the context is being terminated */
#define EMTHREAD (ZMQ_HAUSNUMERO + 54)       /* the context has no I/O thread for it */

/* The calling thread's errno. */
ZMQ_EXPORT int zmq_errno(void);

/* A text for an error, the system's or ØMQ's. It is not the caller's to free. */
ZMQ_EXPORT const char *zmq_strerror(int errnum);

/* ------------------------------------------------------------------------------------------------
 * Contexts
 * --------------------------------------------------------------------------------------------- */

/* A new context, the home of sockets. It has no thread until it needs one.
 *   EMFILE  there are too many objects, or descriptors */
ZMQ_EXPORT void *zmq_ctx_new(void);

/* Ends a context: what is done with its sockets fails with ETERM from now on; waits until they are
 * closed, and until their messages are sent or their linger is over.
 *   EINTR  a signal handler has run; call again */
ZMQ_EXPORT int zmq_ctx_term(void *context);

/* As zmq_ctx_term(), without waiting; that is to be called nevertheless. */
ZMQ_EXPORT int zmq_ctx_shutdown(void *context);

/* Sets an option of the context, or reads one (-1 is then a failure, or the value).
 *   EINVAL  there is no such option, or it cannot have this value, or not any more */
ZMQ_EXPORT int zmq_ctx_set(void *context, int option, int value);
ZMQ_EXPORT int zmq_ctx_get(void *context, int option);

/* Options of contexts, of type int. Those of threads are to be set before the first socket is made.
 * Options of contexts too: ZMQ_IPV6 (0|1, = 0), for sockets made later, and ZMQ_BLOCKY (0|1, = 1), 0:
 * sockets made later have a linger of 0. */
#define ZMQ_IO_THREADS 1                 /* threads for input and output, from 0; = 1 */
#define ZMQ_MAX_SOCKETS 2                /* sockets at a time, from 1; = 1023 */
#define ZMQ_SOCKET_LIMIT 3               /* the most that ZMQ_MAX_SOCKETS may be; read only */
#define ZMQ_THREAD_PRIORITY 3            /* of the I/O threads, as the policy has it; set only */
#define ZMQ_THREAD_SCHED_POLICY 4        /* of the I/O threads, a SCHED_ of <sched.h>; = -1: none set */
#define ZMQ_MAX_MSGSZ 5                  /* the longest message sent, 0 to INT_MAX; = INT_MAX */
#define ZMQ_MSG_T_SIZE 6                 /* sizeof(zmq_msg_t); read only */
#define ZMQ_THREAD_AFFINITY_CPU_ADD 7    /* a processor that I/O threads may run on; = all */
#define ZMQ_THREAD_AFFINITY_CPU_REMOVE 8 /* takes it off the list again */
#define ZMQ_THREAD_NAME_PREFIX 9         /* a number before the names of I/O threads; = none */

#define ZMQ_IO_THREADS_DFLT 1
#define ZMQ_MAX_SOCKETS_DFLT 1023
#define ZMQ_THREAD_PRIORITY_DFLT (-1)
#define ZMQ_THREAD_SCHED_POLICY_DFLT (-1)

/* Old names: zmq_ctx_new() with ZMQ_IO_THREADS set (EINVAL below 0), and zmq_ctx_term() twice. */
ZMQ_EXPORT void *zmq_init(int io_threads);
ZMQ_EXPORT int zmq_term(void *context);
ZMQ_EXPORT int zmq_ctx_destroy(void *context);

/* ------------------------------------------------------------------------------------------------
 * Messages
 * --------------------------------------------------------------------------------------------- */

/* A message, or one part of a multipart message. It is initialised once, with one of the functions
 * below, and closed once; in between it may be sent, received into, copied and moved, each of which
 * leaves it initialised. What is in it is nobody's business. It lies where a pointer may lie. */
typedef struct zmq_msg_t
{
#if defined __GNUC__
    unsigned char _[64] __attribute__((aligned(sizeof(void *))));
#elif defined _MSC_VER && (defined _M_X64 || defined _M_ARM64)
    __declspec(align(8)) unsigned char _[64];
#elif defined _MSC_VER
    __declspec(align(4)) unsigned char _[64];
#else
    unsigned char _[64];
#endif
} zmq_msg_t;

/* Frees the bytes of a message, from whichever thread is the last to need them. */
typedef void(zmq_free_fn)(void *data, void *hint);

/* Makes an empty message. Cannot fail. */
ZMQ_EXPORT int zmq_msg_init(zmq_msg_t *msg);

/* Makes a message of so many bytes, to be written through zmq_msg_data().
 *   ENOMEM  there is no memory for it; the message is not initialised */
ZMQ_EXPORT int zmq_msg_init_size(zmq_msg_t *msg, size_t size);

/* Makes a message of bytes that stay where they are. They are the library's until it calls `ffn`
 * with `hint`; with `ffn` NULL they are to outlive everything.
 *   ENOMEM  there is no memory for the message; the bytes are still the caller's */
ZMQ_EXPORT int zmq_msg_init_data(zmq_msg_t *msg, void *data, size_t size, zmq_free_fn *ffn,
                                 void *hint);

/* Sends a message, as zmq_send() does bytes, and leaves an empty one; the number of bytes. If it
 * fails, the message is as it was. */
ZMQ_EXPORT int zmq_msg_send(zmq_msg_t *msg, void *socket, int flags);

/* Receives a message in the place of another, as zmq_recv() does bytes; the number of bytes. If it
 * fails, the message is as it was. */
ZMQ_EXPORT int zmq_msg_recv(zmq_msg_t *msg, void *socket, int flags);

/* Ends a message.
 *   EFAULT  it is none */
ZMQ_EXPORT int zmq_msg_close(zmq_msg_t *msg);

/* Puts a message in the place of another, and leaves an empty one.
 *   EFAULT  one of them is none */
ZMQ_EXPORT int zmq_msg_move(zmq_msg_t *dest, zmq_msg_t *src);

/* Puts a copy of a message in the place of another. Long ones share their bytes from then on, which
 * are not to be written any more.
 *   EFAULT  one of them is none */
ZMQ_EXPORT int zmq_msg_copy(zmq_msg_t *dest, zmq_msg_t *src);

/* The bytes of a message, and how many; they stay there until something else is done with it. */
ZMQ_EXPORT void *zmq_msg_data(zmq_msg_t *msg);
ZMQ_EXPORT size_t zmq_msg_size(const zmq_msg_t *msg);

/* Whether more parts of the same multipart message follow this one, 1 or 0. */
ZMQ_EXPORT int zmq_msg_more(const zmq_msg_t *msg);

/* A property of a message.
 *   EINVAL  there is no such property */
ZMQ_EXPORT int zmq_msg_get(const zmq_msg_t *msg, int property);
#define ZMQ_MORE 1   /* what zmq_msg_more() says */
#define ZMQ_SRCFD 2  /* the descriptor it came by, or -1; deprecated, for it may be closed by now */
#define ZMQ_SHARED 3 /* whether a copy of it may share its bytes, 1 or 0 */

/* Sets a property of a message. There is none that can be set.
 *   EINVAL  always */
ZMQ_EXPORT int zmq_msg_set(zmq_msg_t *msg, int property, int value);

/* What is known of the peer that a message came from: "Socket-Type", "Routing-Id", "User-Id",
 * "Peer-Address", and what it says of itself ("X-..."). The text lives as long as the message.
 *   EINVAL  the message has no such property */
ZMQ_EXPORT const char *zmq_msg_gets(const zmq_msg_t *msg, const char *property);

/* ------------------------------------------------------------------------------------------------
 * Sockets
 * --------------------------------------------------------------------------------------------- */

/* A new socket of a type.
 *   EINVAL  there is no such type
 *   EFAULT  that is no context
 *   EMFILE  the context has as many as ZMQ_MAX_SOCKETS, or there are too many descriptors
 *   ETERM   the context is being terminated */
ZMQ_EXPORT void *zmq_socket(void *context, int type);

#define ZMQ_PAIR 0    /* one peer, both ways */
#define ZMQ_PUB 1     /* to all who subscribed */
#define ZMQ_SUB 2     /* what it subscribed to */
#define ZMQ_REQ 3     /* a question, then its answer, by turns */
#define ZMQ_REP 4     /* answers, by turns */
#define ZMQ_DEALER 5  /* to its peers in turn, from all of them */
#define ZMQ_ROUTER 6  /* the first part names the peer */
#define ZMQ_PULL 7    /* from all who push */
#define ZMQ_PUSH 8    /* to its peers in turn */
#define ZMQ_XPUB 9    /* PUB that receives the subscriptions: a byte 1 (or 0, its end), the topic */
#define ZMQ_XSUB 10   /* SUB that sends its subscriptions */
#define ZMQ_STREAM 11 /* bytes to and from peers over TCP that know no ØMQ */

/* Old names. */
#define ZMQ_XREQ ZMQ_DEALER
#define ZMQ_XREP ZMQ_ROUTER

/* Closes a socket. What it has not sent is sent later, for ZMQ_LINGER at most. */
ZMQ_EXPORT int zmq_close(void *socket);

/* Accepts peers at an endpoint, "tcp://eth0:5555", "tcp://127.0.0.1:*", "ipc:///path",
 * "inproc://name"; ZMQ_LAST_ENDPOINT then tells which port it got. zmq_unbind() ends that, with its
 * connections; give it the endpoint as ZMQ_LAST_ENDPOINT has it.
 *   EINVAL           the endpoint cannot be read
 *   EPROTONOSUPPORT  there is no such transport
 *   ENOCOMPATPROTO   the transport does not carry this type of socket
 *   EADDRINUSE       somebody else is bound to it
 *   EADDRNOTAVAIL    the address is not of this machine
 *   ENODEV           there is no such interface
 *   EMTHREAD         the context has no I/O thread
 *   ENOENT           (zmq_unbind) it is not bound to that */
ZMQ_EXPORT int zmq_bind(void *socket, const char *endpoint);
ZMQ_EXPORT int zmq_unbind(void *socket, const char *endpoint);

/* Connects to a peer, now or as soon as it is there, and again if the connection breaks.
 * zmq_disconnect() ends that; messages for it are sent for ZMQ_LINGER at most. A ZMQ_DEALER, ZMQ_PUB,
 * ZMQ_REQ or ZMQ_SUB that is connected to the endpoint already, but over inproc, stays as it is.
 *   EINVAL, EPROTONOSUPPORT, ENOCOMPATPROTO, EMTHREAD  as for zmq_bind()
 *   ENOENT  (zmq_disconnect) it is not connected to that */
ZMQ_EXPORT int zmq_connect(void *socket, const char *endpoint);
ZMQ_EXPORT int zmq_disconnect(void *socket, const char *endpoint);

/* Flags of sending and receiving. */
#define ZMQ_DONTWAIT 1 /* fail with EAGAIN rather than wait */
#define ZMQ_SNDMORE 2  /* another part of the same message follows */

/* Sends the bytes as a message, or one part of it; how many. zmq_send_const() needs bytes that
 * outlive everything, and does not copy them.
 *   EAGAIN        no peer has room, within ZMQ_SNDTIMEO
 *   ENOTSUP       this type of socket does not send
 *   EFSM          not its turn (REQ, REP)
 *   EHOSTUNREACH  there is no such peer (ROUTER with ZMQ_ROUTER_MANDATORY, STREAM)
 *   EINVAL        the message is not one for this type of socket */
ZMQ_EXPORT int zmq_send(void *socket, const void *buf, size_t len, int flags);
ZMQ_EXPORT int zmq_send_const(void *socket, const void *buf, size_t len, int flags);

/* Receives a message, or one part of it, and stores as much of it as fits. The number of bytes that
 * it had, which may be more.
 *   EAGAIN   no message has come, within ZMQ_RCVTIMEO
 *   ENOTSUP  this type of socket does not receive
 *   EFSM     not its turn (REQ, REP) */
ZMQ_EXPORT int zmq_recv(void *socket, void *buf, size_t len, int flags);

/* Old names: zmq_msg_send() and zmq_msg_recv(), and the same with all parts of a message at once.
 * zmq_sendiov() sends `count` parts. zmq_recviov() receives at most `*count`, stores how many there
 * were, and leaves each in memory of its own, which the caller frees with free(). Both return how
 * many parts that was.
 *   EINVAL  `count` is 0, or NULL, or there is no array
 *   ENOMEM  there is no memory for a part */
ZMQ_EXPORT int zmq_sendmsg(void *socket, zmq_msg_t *msg, int flags);
ZMQ_EXPORT int zmq_recvmsg(void *socket, zmq_msg_t *msg, int flags);
struct iovec;
ZMQ_EXPORT int zmq_sendiov(void *socket, struct iovec *iov, size_t count, int flags);
ZMQ_EXPORT int zmq_recviov(void *socket, struct iovec *iov, size_t *count, int flags);

/* ------------------------------------------------------------------------------------------------
 * Options of sockets
 * --------------------------------------------------------------------------------------------- */

/* Sets an option from `len` bytes; where the type is int, these are sizeof(int). Text may end with
 * a zero byte. What concerns connections is true of those made later.
 *   EINVAL  there is no such option, zmq_has() says that what it belongs to is not built, it is not
 *           of this type of socket, or cannot have this value */
ZMQ_EXPORT int zmq_setsockopt(void *socket, int option, const void *value, size_t len);

/* Reads an option into `*len` bytes, and stores how many it has; text ends with a zero byte.
 *   EINVAL  there is no such option, or it has no value to read, or needs more bytes */
ZMQ_EXPORT int zmq_getsockopt(void *socket, int option, void *value, size_t *len);

/* Sending and receiving. */
#define ZMQ_SNDHWM 23   /* int: messages queued for each peer, 0: any number; = 1000 */
#define ZMQ_RCVHWM 24   /* int: messages queued from each peer, 0: any number; = 1000 */
#define ZMQ_SNDTIMEO 28 /* int: how long a send waits, -1: for ever; = -1 */
#define ZMQ_RCVTIMEO 27 /* int: how long a receive waits, -1: for ever; = -1 */
#define ZMQ_LINGER 17   /* int: how long unsent messages outlive the socket, -1: for ever; = -1 */
#define ZMQ_MAXMSGSIZE 22 /* int64_t: the longest part received, the connection of a peer that sends
                             longer ones is closed; -1: any; = -1 */
#define ZMQ_CONFLATE 54   /* int 0|1: keep the newest message only, which is not multipart; = 0.
                             PUSH, PULL, PUB, SUB, DEALER */
#define ZMQ_IMMEDIATE 39  /* int 0|1: queue for peers only that are connected; = 0 */

/* What the socket is, and how it stands; read only. */
#define ZMQ_TYPE 16          /* int: ZMQ_PAIR, ... */
#define ZMQ_RCVMORE 13       /* int 0|1: more parts follow the one received last */
#define ZMQ_FD 14            /* int: a descriptor that becomes readable when ZMQ_EVENTS may have
                                changed. Look at ZMQ_EVENTS then, and after every send and receive:
                                it is not told again. It may be readable for nothing */
#define ZMQ_EVENTS 15        /* int: ZMQ_POLLIN, ZMQ_POLLOUT: what can be done without waiting */
#define ZMQ_LAST_ENDPOINT 32 /* text: what it was bound or connected to last, with the port; = "" */
#define ZMQ_MECHANISM 43     /* int: ZMQ_NULL, ZMQ_PLAIN, ZMQ_CURVE or ZMQ_GSSAPI; = ZMQ_NULL */
#define ZMQ_THREAD_SAFE 81   /* int 0|1: its type is one that libzmq lets threads share */

/* Connections. */
#define ZMQ_AFFINITY 4            /* uint64_t: bit n: I/O thread n may serve them, 0: any; = 0 */
#define ZMQ_BACKLOG 19            /* int: connections that wait to be accepted; = 100 */
#define ZMQ_IPV6 42               /* int 0|1: IPv6 as well as IPv4; = 0 */
#define ZMQ_RECONNECT_IVL 18      /* int: before connecting again, -1: not again; = 100 */
#define ZMQ_RECONNECT_IVL_MAX 21  /* int: to which that doubles each time, 0: does not; = 0 */
#define ZMQ_CONNECT_TIMEOUT 79    /* int: how long connecting may take, 0: the system decides; = 0 */
#define ZMQ_HANDSHAKE_IVL 66      /* int: how long the handshake may take, 0: any time; = 30000 */
#define ZMQ_HEARTBEAT_IVL 75      /* int: ping a peer so often, 0: never; = 0 */
#define ZMQ_HEARTBEAT_TIMEOUT 77  /* int: close when nothing came so long after a ping; = HEARTBEAT_IVL */
#define ZMQ_HEARTBEAT_TTL 76      /* int: have the peer close when so long nothing came, in steps of
                                     100, to 6553599; = 0: not */
#define ZMQ_SNDBUF 11             /* int: SO_SNDBUF, -1: as the system has it; = -1 */
#define ZMQ_RCVBUF 12             /* int: SO_RCVBUF, -1: as the system has it; = -1 */
#define ZMQ_TOS 57                /* int: the type of service of IP; = 0 */
#define ZMQ_TCP_KEEPALIVE 34      /* int -1|0|1: SO_KEEPALIVE, -1: as the system has it; = -1 */
#define ZMQ_TCP_KEEPALIVE_CNT 35  /* int: TCP_KEEPCNT, probes; = -1 */
#define ZMQ_TCP_KEEPALIVE_IDLE 36 /* int: TCP_KEEPIDLE, seconds; = -1 */
#define ZMQ_TCP_KEEPALIVE_INTVL 37 /* int: TCP_KEEPINTVL, seconds; = -1 */
#define ZMQ_TCP_MAXRT 80          /* int: TCP_USER_TIMEOUT, 0: as the system has it; = 0 */
#define ZMQ_BINDTODEVICE 92       /* text: SO_BINDTODEVICE, an interface; = none */
#define ZMQ_USE_FD 89             /* int: a descriptor that listens already, to use instead of a new one;
                                     -1: none; = -1 */
#define ZMQ_SOCKS_PROXY 68        /* text: "host:port" of a SOCKS5 proxy to go through; = none */

/* Names of peers. */
#define ZMQ_ROUTING_ID 5          /* 0 to 255 bytes, not beginning with a zero: what ROUTERs know this
                                     socket by; = none */
#define ZMQ_CONNECT_ROUTING_ID 61 /* 1 to 255 bytes: what this socket calls the peer it connects to
                                     next; ROUTER, STREAM. Set only */
#define ZMQ_PROBE_ROUTER 51       /* int 0|1: send each new peer an empty message; = 0.
                                     REQ, DEALER, ROUTER */

/* ROUTER and STREAM. */
#define ZMQ_ROUTER_MANDATORY 33 /* int 0|1: EHOSTUNREACH for a peer that is not there, wait for one
                                   that is full; 0: drop; = 0 */
#define ZMQ_ROUTER_HANDOVER 56  /* int 0|1: a new peer takes the name from an old one, which
                                   stays connected, and is heard no more; = 0 */
#define ZMQ_ROUTER_RAW 41       /* int 0|1: behave like STREAM; = 0 */
#define ZMQ_STREAM_NOTIFY 73    /* int 0|1: an empty part tells that a peer came or went; = 1 */

/* REQ. */
#define ZMQ_REQ_CORRELATE 52 /* int 0|1: number requests, and take no other answer; = 0 */
#define ZMQ_REQ_RELAXED 53   /* int 0|1: a new request may be sent before the answer; = 0 */

/* PUB, SUB, XPUB and XSUB. */
#define ZMQ_SUBSCRIBE 6       /* bytes: subscribe to what begins so, none: to all. SUB; XPUB with
                                 ZMQ_XPUB_MANUAL, for the peer heard last. Set only */
#define ZMQ_UNSUBSCRIBE 7     /* bytes: ends one such subscription. Set only */
#define ZMQ_XPUB_VERBOSE 40   /* int 0|1: receive subscriptions to topics that have one too; = 0 */
#define ZMQ_XPUB_VERBOSER 78  /* int 0|1: and every end of one; = 0 */
#define ZMQ_XPUB_NODROP 69    /* int 0|1: a peer without room makes sends wait; 0: it loses; = 0 */
#define ZMQ_XPUB_MANUAL 71    /* int 0|1: the caller subscribes for its peers, by ZMQ_SUBSCRIBE; = 0 */
#define ZMQ_XPUB_WELCOME_MSG 72 /* bytes: sent to each new subscriber; = none */
#define ZMQ_INVERT_MATCHING 74  /* int 0|1: what was not subscribed to; = 0. On both sides */

/* Who may connect, and how they prove it. */
#define ZMQ_PLAIN_SERVER 44    /* int 0|1: ask peers for name and password; = 0 */
#define ZMQ_PLAIN_USERNAME 45  /* text of 1 to 255 bytes: our name; NULL: no PLAIN; = none */
#define ZMQ_PLAIN_PASSWORD 46  /* text of 1 to 255 bytes: our password; NULL: no PLAIN; = none */
#define ZMQ_CURVE_SERVER 47    /* int 0|1: be the server of CURVE; = 0 */
#define ZMQ_CURVE_PUBLICKEY 48 /* 32 bytes, or 40 characters of Z85: our public key; = none. It is
                                  read in 32 bytes, or as text in 41 */
#define ZMQ_CURVE_SECRETKEY 49 /* as above: our secret key; = none */
#define ZMQ_CURVE_SERVERKEY 50 /* as above: the server's public key; = none */
#define ZMQ_ZAP_DOMAIN 55      /* text of 1 to 255 bytes: what the handler of ZAP is told; = "", then NULL
                                  asks no handler */
#define ZMQ_GSSAPI_SERVER 62   /* int 0|1: be the server of GSSAPI; = 0 */
#define ZMQ_GSSAPI_PRINCIPAL 63 /* text: our name; = none */
#define ZMQ_GSSAPI_SERVICE_PRINCIPAL 64 /* text: the server's name; = none */
#define ZMQ_GSSAPI_PLAINTEXT 65         /* int 0|1: no encryption; = 0 */
#define ZMQ_GSSAPI_PRINCIPAL_NAMETYPE 90 /* int: a ZMQ_GSSAPI_NT_; = ZMQ_GSSAPI_NT_HOSTBASED */
#define ZMQ_GSSAPI_SERVICE_PRINCIPAL_NAMETYPE 91 /* as above */
#define ZMQ_TCP_ACCEPT_FILTER 38 /* text: an address/bits to accept from, each adds; NULL: all. Set
                                    only; deprecated */
#define ZMQ_IPC_FILTER_PID 58    /* pid_t: a process to accept from, each adds; NULL: all. Set only;
                                    deprecated */
#define ZMQ_IPC_FILTER_UID 59    /* uid_t: a user, likewise */
#define ZMQ_IPC_FILTER_GID 60    /* gid_t: a group, likewise */

/* Values of ZMQ_MECHANISM. */
#define ZMQ_NULL 0
#define ZMQ_PLAIN 1
#define ZMQ_CURVE 2
#define ZMQ_GSSAPI 3

/* What the name of a principal of GSSAPI is: of a service at a host, of a user here, of Kerberos. */
#define ZMQ_GSSAPI_NT_HOSTBASED 0
#define ZMQ_GSSAPI_NT_USER_NAME 1
#define ZMQ_GSSAPI_NT_KRB5_PRINCIPAL 2

/* Multicast, and VMCI. */
#define ZMQ_RATE 8                  /* int, kilobits a second: the most sent; = 100 */
#define ZMQ_RECOVERY_IVL 9          /* int: for how long lost data can be had again; = 10000 */
#define ZMQ_MULTICAST_HOPS 25       /* int: networks to cross; = 1 */
#define ZMQ_MULTICAST_MAXTPDU 84    /* int: the longest datagram; = 1500 */
#define ZMQ_VMCI_BUFFER_SIZE 85     /* uint64_t; = 65546 */
#define ZMQ_VMCI_BUFFER_MIN_SIZE 86 /* uint64_t; = 128 */
#define ZMQ_VMCI_BUFFER_MAX_SIZE 87 /* uint64_t; = 262144 */
#define ZMQ_VMCI_CONNECT_TIMEOUT 88 /* int; = -1 */

/* An option of contexts; see there. */
#define ZMQ_BLOCKY 70

/* Old names, and ZMQ_IPV6 the other way round. */
#define ZMQ_IDENTITY ZMQ_ROUTING_ID
#define ZMQ_CONNECT_RID ZMQ_CONNECT_ROUTING_ID
#define ZMQ_IPV4ONLY 31 /* int 0|1; = 1 */
#define ZMQ_DELAY_ATTACH_ON_CONNECT ZMQ_IMMEDIATE
#define ZMQ_NOBLOCK ZMQ_DONTWAIT
#define ZMQ_FAIL_UNROUTABLE ZMQ_ROUTER_MANDATORY
#define ZMQ_ROUTER_BEHAVIOR ZMQ_ROUTER_MANDATORY

/* The longest name of a group of RADIO and DISH. */
#define ZMQ_GROUP_MAX_LENGTH 255

/* ------------------------------------------------------------------------------------------------
 * Monitoring
 * --------------------------------------------------------------------------------------------- */

/* Tells what happens to a socket's connections: binds a PAIR to `endpoint`, of inproc, to which
 * another PAIR connects and receives two parts for each event. The first is the event, uint16_t, and
 * its value, uint32_t, in the machine's order of bytes, six bytes together; the second the endpoint
 * as text. `events` is the sum of those wanted. NULL as the endpoint ends the monitoring.
 *   EPROTONOSUPPORT  the endpoint is not of inproc
 *   EINVAL           the endpoint cannot be read
 *   EADDRINUSE       somebody else is bound to it */
ZMQ_EXPORT int zmq_socket_monitor(void *socket, const char *endpoint, int events);

#define ZMQ_EVENT_CONNECTED 0x0001       /* connected; the value is the descriptor */
#define ZMQ_EVENT_CONNECT_DELAYED 0x0002 /* connecting takes time; no value */
#define ZMQ_EVENT_CONNECT_RETRIED 0x0004 /* connecting again, in so many milliseconds */
#define ZMQ_EVENT_LISTENING 0x0008       /* bound; the descriptor */
#define ZMQ_EVENT_BIND_FAILED 0x0010     /* could not bind; the errno */
#define ZMQ_EVENT_ACCEPTED 0x0020        /* accepted a connection; the descriptor */
#define ZMQ_EVENT_ACCEPT_FAILED 0x0040   /* could not accept one; the errno */
#define ZMQ_EVENT_CLOSED 0x0080          /* closed a connection or listener; the descriptor */
#define ZMQ_EVENT_CLOSE_FAILED 0x0100    /* could not close it; the errno */
#define ZMQ_EVENT_DISCONNECTED 0x0200    /* the connection was lost; the descriptor */
#define ZMQ_EVENT_MONITOR_STOPPED 0x0400 /* the last event */
#define ZMQ_EVENT_HANDSHAKE_FAILED_NO_DETAIL 0x0800 /* the handshake failed; the errno */
#define ZMQ_EVENT_HANDSHAKE_SUCCEEDED 0x1000        /* the peers understand each other; no value */
#define ZMQ_EVENT_HANDSHAKE_FAILED_PROTOCOL 0x2000  /* the peer, or the ZAP handler, broke the rules;
                                                       a ZMQ_PROTOCOL_ERROR_ */
#define ZMQ_EVENT_HANDSHAKE_FAILED_AUTH 0x4000 /* the peer was refused; the status 300, 400 or 500 */
#define ZMQ_EVENT_ALL 0xFFFF

/* Who broke which rule of ZMTP ... */
#define ZMQ_PROTOCOL_ERROR_ZMTP_UNSPECIFIED 0x10000000
#define ZMQ_PROTOCOL_ERROR_ZMTP_UNEXPECTED_COMMAND 0x10000001
#define ZMQ_PROTOCOL_ERROR_ZMTP_INVALID_SEQUENCE 0x10000002
#define ZMQ_PROTOCOL_ERROR_ZMTP_KEY_EXCHANGE 0x10000003
#define ZMQ_PROTOCOL_ERROR_ZMTP_MALFORMED_COMMAND_UNSPECIFIED 0x10000011
#define ZMQ_PROTOCOL_ERROR_ZMTP_MALFORMED_COMMAND_MESSAGE 0x10000012
#define ZMQ_PROTOCOL_ERROR_ZMTP_MALFORMED_COMMAND_HELLO 0x10000013
#define ZMQ_PROTOCOL_ERROR_ZMTP_MALFORMED_COMMAND_INITIATE 0x10000014
#define ZMQ_PROTOCOL_ERROR_ZMTP_MALFORMED_COMMAND_ERROR 0x10000015
#define ZMQ_PROTOCOL_ERROR_ZMTP_MALFORMED_COMMAND_READY 0x10000016
#define ZMQ_PROTOCOL_ERROR_ZMTP_MALFORMED_COMMAND_WELCOME 0x10000017
#define ZMQ_PROTOCOL_ERROR_ZMTP_INVALID_METADATA 0x10000018
/* (two that may be no more than different keys, or mechanisms) */
#define ZMQ_PROTOCOL_ERROR_ZMTP_CRYPTOGRAPHIC 0x11000001
#define ZMQ_PROTOCOL_ERROR_ZMTP_MECHANISM_MISMATCH 0x11000002
/* ... of ZAP ... */
#define ZMQ_PROTOCOL_ERROR_ZAP_UNSPECIFIED 0x20000000
#define ZMQ_PROTOCOL_ERROR_ZAP_MALFORMED_REPLY 0x20000001
#define ZMQ_PROTOCOL_ERROR_ZAP_BAD_REQUEST_ID 0x20000002
#define ZMQ_PROTOCOL_ERROR_ZAP_BAD_VERSION 0x20000003
#define ZMQ_PROTOCOL_ERROR_ZAP_INVALID_STATUS_CODE 0x20000004
#define ZMQ_PROTOCOL_ERROR_ZAP_INVALID_METADATA 0x20000005
/* ... or of WebSocket. */
#define ZMQ_PROTOCOL_ERROR_WS_UNSPECIFIED 0x30000000

/* ------------------------------------------------------------------------------------------------
 * Polling
 * --------------------------------------------------------------------------------------------- */

/* A descriptor. */
#if defined _WIN64
typedef unsigned __int64 zmq_fd_t;
#elif defined _WIN32
typedef unsigned int zmq_fd_t;
#else
typedef int zmq_fd_t;
#endif

#define ZMQ_POLLIN 1  /* a message can be received; bytes can be read */
#define ZMQ_POLLOUT 2 /* a message can be sent; bytes can be written */
#define ZMQ_POLLERR 4 /* of a descriptor only: something is wrong with it */
#define ZMQ_POLLPRI 8 /* of a descriptor only: urgent data */

/* A socket, or if that is NULL a descriptor; what is awaited; what has come. */
typedef struct zmq_pollitem_t
{
    void *socket;
    zmq_fd_t fd;
    short events;
    short revents;
} zmq_pollitem_t;

/* How many items programs may expect to be cheap. */
#define ZMQ_POLLITEMS_DFLT 16

/* Waits until something has come of what the items await, for `timeout` milliseconds at most, -1:
 * for ever; how many items that is true of, 0 when the time is over.
 *   EFAULT    there are no items at that address
 *   EINVAL    their number is negative
 *   ENOTSOCK  a socket of an item is none */
ZMQ_EXPORT int zmq_poll(zmq_pollitem_t *items, int nitems, long timeout);

/* ------------------------------------------------------------------------------------------------
 * Proxies
 * --------------------------------------------------------------------------------------------- */

/* Passes messages between two sockets, both ways, and a copy of each to `capture`, if that is not
 * NULL. Returns with -1 when a context is terminated (ETERM), or a socket closed.
 *   EFAULT  a socket is NULL */
ZMQ_EXPORT int zmq_proxy(void *frontend, void *backend, void *capture);

/* The same, which does what it is told on `control`, a PAIR, SUB or REP, if that is not NULL: PAUSE,
 * RESUME, TERMINATE (returns 0), and STATISTICS, which it answers in eight parts of uint64_t:
 * messages and bytes received and sent at the front, then at the back. A REP is answered with an
 * empty message otherwise. */
ZMQ_EXPORT int zmq_proxy_steerable(void *frontend, void *backend, void *capture, void *control);

/* An old name of zmq_proxy() without capture; the type makes no difference. */
ZMQ_EXPORT int zmq_device(int type, void *frontend, void *backend);
#define ZMQ_STREAMER 1
#define ZMQ_FORWARDER 2
#define ZMQ_QUEUE 3

/* ------------------------------------------------------------------------------------------------
 * Keys
 * --------------------------------------------------------------------------------------------- */

/* Writes `size` bytes as text of Z85, five characters for four bytes, and a zero byte; `dest`.
 *   EINVAL  the size is not a multiple of 4
 *   EFAULT  a pointer is NULL */
ZMQ_EXPORT char *zmq_z85_encode(char *dest, const uint8_t *data, size_t size);

/* Reads text of Z85 into four bytes for five characters; `dest`.
 *   EINVAL  the text is empty, its length not a multiple of 5, or it is not Z85
 *   EFAULT  a pointer is NULL */
ZMQ_EXPORT uint8_t *zmq_z85_decode(uint8_t *dest, const char *string);

/* Makes a pair of keys for CURVE, each 40 characters of Z85 and a zero byte.
 *   EFAULT  a pointer is NULL
 *   EIO     the system has no random numbers */
ZMQ_EXPORT int zmq_curve_keypair(char *z85_public_key, char *z85_secret_key);

/* The public key that belongs to a secret one.
 *   EINVAL  that is not a key in Z85
 *   EFAULT  a pointer is NULL */
ZMQ_EXPORT int zmq_curve_public(char *z85_public_key, const char *z85_secret_key);

/* ------------------------------------------------------------------------------------------------
 * Atomic counters
 * --------------------------------------------------------------------------------------------- */

/* A counter, at 0, that threads may share.
 *   EMFILE  there are too many objects */
ZMQ_EXPORT void *zmq_atomic_counter_new(void);

/* Sets it. Of what is no counter, these say 0, with EFAULT in errno. */
ZMQ_EXPORT void zmq_atomic_counter_set(void *counter, int value);

/* Adds one; what it was before. */
ZMQ_EXPORT int zmq_atomic_counter_inc(void *counter);

/* Subtracts one; 0 if it is 0 now, otherwise 1. */
ZMQ_EXPORT int zmq_atomic_counter_dec(void *counter);

/* What it is. */
ZMQ_EXPORT int zmq_atomic_counter_value(void *counter);

/* Ends it, and stores NULL at `counter_p`. */
ZMQ_EXPORT void zmq_atomic_counter_destroy(void **counter_p);

/* ------------------------------------------------------------------------------------------------
 * Timers
 * --------------------------------------------------------------------------------------------- */

/* The functions below exist. */
#define ZMQ_HAVE_TIMERS

/* What a timer does when its time has come. It may do anything with the timers, itself included. */
typedef void(zmq_timer_fn)(int timer_id, void *arg);

/* A set of timers, none in it; its end, which stores NULL at `timers_p`.
 *   EMFILE  there are too many objects */
ZMQ_EXPORT void *zmq_timers_new(void);
ZMQ_EXPORT int zmq_timers_destroy(void **timers_p);

/* Adds a timer whose time comes every `interval` milliseconds from now on; its number, from 1.
 *   EFAULT  there is no handler */
ZMQ_EXPORT int zmq_timers_add(void *timers, size_t interval, zmq_timer_fn handler, void *arg);

/* Ends a timer; gives it another interval, from now on; starts its interval anew.
 *   EINVAL  there is no such timer */
ZMQ_EXPORT int zmq_timers_cancel(void *timers, int timer_id);
ZMQ_EXPORT int zmq_timers_set_interval(void *timers, int timer_id, size_t interval);
ZMQ_EXPORT int zmq_timers_reset(void *timers, int timer_id);

/* Milliseconds until the next timer's time comes, 0 if it has come, -1 if there is none. */
ZMQ_EXPORT long zmq_timers_timeout(void *timers);

/* Calls the handlers of those whose time has come, the one due first first, each once. */
ZMQ_EXPORT int zmq_timers_execute(void *timers);

/* ------------------------------------------------------------------------------------------------
 * Clock and threads
 * --------------------------------------------------------------------------------------------- */

/* Starts a stopwatch; microseconds since then; the same, and its end. Of what is no stopwatch the
 * last two say 0, with EFAULT in errno.
 *   EMFILE  there are too many objects */
ZMQ_EXPORT void *zmq_stopwatch_start(void);
ZMQ_EXPORT unsigned long zmq_stopwatch_intermediate(void *watch);
ZMQ_EXPORT unsigned long zmq_stopwatch_stop(void *watch);

/* Waits for so many seconds; less, if a signal handler runs. */
ZMQ_EXPORT void zmq_sleep(int seconds);

typedef void(zmq_thread_fn)(void *arg);

/* Starts a thread, with all signals blocked.
 *   EAGAIN, EMFILE  there are too many threads, or objects
 *   EFAULT          there is no function */
ZMQ_EXPORT void *zmq_threadstart(zmq_thread_fn *func, void *arg);

/* Waits until a thread has ended, and ends its handle. */
ZMQ_EXPORT void zmq_threadclose(void *thread);

/* ------------------------------------------------------------------------------------------------
 * Drafts: what may still change. Define ZMQ_BUILD_DRAFT_API to see them. The library has all of the
 * functions; zmq_socket() and zmq_setsockopt() say EINVAL to a type or option that is not built.
 * --------------------------------------------------------------------------------------------- */

#ifdef ZMQ_BUILD_DRAFT_API

/* Types of sockets, of which each message has one part. */
#define ZMQ_SERVER 12  /* ROUTER, the peer is named by a number in the message */
#define ZMQ_CLIENT 13  /* DEALER for that */
#define ZMQ_RADIO 14   /* PUB, the topic is the message's group */
#define ZMQ_DISH 15    /* SUB for that */
#define ZMQ_GATHER 16  /* PULL */
#define ZMQ_SCATTER 17 /* PUSH */
#define ZMQ_DGRAM 18   /* datagrams of UDP; two parts, the first is the address */
#define ZMQ_PEER 19    /* SERVER that connects too */
#define ZMQ_CHANNEL 20 /* PAIR */

/* Options of sockets. */
#define ZMQ_ZAP_ENFORCE_DOMAIN 93 /* int 0|1: refuse peers if there is no handler of ZAP to ask. CURVE asks
                                     only with a ZMQ_ZAP_DOMAIN then, as RFC 27 says; = 0 */
#define ZMQ_LOOPBACK_FASTPATH 94  /* int 0|1: of Windows; = 0 */
#define ZMQ_METADATA 95           /* text "X-name:value": what peers are told of this socket, each
                                     adds. Set only */
#define ZMQ_MULTICAST_LOOP 96     /* int 0|1: receive our own datagrams; = 1 */
#define ZMQ_ROUTER_NOTIFY 97      /* int: ZMQ_NOTIFY_CONNECT, ZMQ_NOTIFY_DISCONNECT or both: an empty
                                     message from a peer that comes or goes; = 0 */
#define ZMQ_XPUB_MANUAL_LAST_VALUE 98 /* int 0|1: ZMQ_XPUB_MANUAL, and the next message goes to the
                                         peer subscribed for last only; = 0 */
#define ZMQ_SOCKS_USERNAME 99     /* text: our name at the SOCKS5 proxy; = none */
#define ZMQ_SOCKS_PASSWORD 100    /* text: our password there; = none */
#define ZMQ_IN_BATCH_SIZE 101     /* int, bytes, from 1: what one read takes; = 8192 */
#define ZMQ_OUT_BATCH_SIZE 102    /* int, bytes, from 1: what one write gives; = 8192 */
#define ZMQ_WSS_KEY_PEM 103       /* text: our key of TLS; = none */
#define ZMQ_WSS_CERT_PEM 104      /* text: our certificate; = none */
#define ZMQ_WSS_TRUST_PEM 105     /* text: certificates to trust; = none */
#define ZMQ_WSS_HOSTNAME 106      /* text: the name that the server's certificate is to have; = none */
#define ZMQ_WSS_TRUST_SYSTEM 107  /* int 0|1: trust those that the system trusts; = 0 */
#define ZMQ_ONLY_FIRST_SUBSCRIBE 108 /* int 0|1: only the first part of a message may be a
                                        subscription; = 0. XPUB, XSUB */
#define ZMQ_RECONNECT_STOP 109    /* int: ZMQ_RECONNECT_STOP_, any of them; = 0 */
#define ZMQ_HELLO_MSG 110         /* bytes: sent to each new peer; = none */
#define ZMQ_DISCONNECT_MSG 111    /* bytes: received from an accepted peer that is gone; = none */
#define ZMQ_PRIORITY 112          /* int: SO_PRIORITY; = 0 */
#define ZMQ_BUSY_POLL 113         /* int, microseconds: SO_BUSY_POLL; = 0 */
#define ZMQ_HICCUP_MSG 114        /* bytes: received when a connection that we made is lost; = none */
#define ZMQ_XSUB_VERBOSE_UNSUBSCRIBE 115 /* int 0|1: send every end of a subscription; = 0 */
#define ZMQ_TOPICS_COUNT 116      /* int: topics subscribed to. Read only. PUB, XPUB, SUB, XSUB */
#define ZMQ_NORM_MODE 117         /* int: a ZMQ_NORM_; = ZMQ_NORM_CC */
#define ZMQ_NORM_UNICAST_NACK 118 /* int 0|1: ask the sender alone for what was lost; = 0 */
#define ZMQ_NORM_BUFFER_SIZE 119  /* int, KiB; = 2048 */
#define ZMQ_NORM_SEGMENT_SIZE 120 /* int: payload of a packet; = 1400 */
#define ZMQ_NORM_BLOCK_SIZE 121   /* int, segments, to 255: what is repaired together; = 16 */
#define ZMQ_NORM_NUM_PARITY 122   /* int, segments: the most sent to repair a block; = 4 */
#define ZMQ_NORM_NUM_AUTOPARITY 123 /* int, segments: sent with each block unasked; = 0 */
#define ZMQ_NORM_PUSH 124         /* int 0|1: drop the oldest rather than wait; = 0 */

/* How fast NORM sends: at ZMQ_RATE; like TCP; the same, not taking loss for congestion; by congestion
 * marks and loss; by marks alone. */
#define ZMQ_NORM_FIXED 0
#define ZMQ_NORM_CC 1
#define ZMQ_NORM_CCL 2
#define ZMQ_NORM_CCE 3
#define ZMQ_NORM_CCE_ECNONLY 4

/* Do not connect again after: */
#define ZMQ_RECONNECT_STOP_CONN_REFUSED 0x1     /* nobody listened there */
#define ZMQ_RECONNECT_STOP_HANDSHAKE_FAILED 0x2 /* who did is no peer of ours */
#define ZMQ_RECONNECT_STOP_AFTER_DISCONNECT 0x4 /* zmq_disconnect() */

/* Values of ZMQ_ROUTER_NOTIFY. */
#define ZMQ_NOTIFY_CONNECT 1
#define ZMQ_NOTIFY_DISCONNECT 2

/* An option of contexts, int 0|1: bodies of messages received may stay in the buffer they were read
 * into; = 1. */
#define ZMQ_ZERO_COPY_RECV 10

/* zmq_ctx_set() and zmq_ctx_get() for values of any type, as zmq_setsockopt() has it: an int, and
 * ZMQ_THREAD_NAME_PREFIX as text, of 16 characters at most. */
ZMQ_EXPORT int zmq_ctx_set_ext(void *context, int option, const void *value, size_t len);
ZMQ_EXPORT int zmq_ctx_get_ext(void *context, int option, void *value, size_t *len);

/* Joins a group, or leaves it.
 *   ENOTSUP  the socket is not a DISH
 *   EINVAL   it has joined, or not; the name is longer than ZMQ_GROUP_MAX_LENGTH */
ZMQ_EXPORT int zmq_join(void *socket, const char *group);
ZMQ_EXPORT int zmq_leave(void *socket, const char *group);

/* zmq_connect(), and the number of the peer, 0 if it fails; the end of a connection by its number.
 *   ENOTSUP       the socket is not a PEER (the second: nor a SERVER)
 *   EHOSTUNREACH  there is no such peer */
ZMQ_EXPORT uint32_t zmq_connect_peer(void *socket, const char *endpoint);
ZMQ_EXPORT int zmq_disconnect_peer(void *socket, uint32_t routing_id);

/* The number of the peer that a message is to or from; of what has none, 0.
 *   EINVAL  the number to set is 0 */
ZMQ_EXPORT int zmq_msg_set_routing_id(zmq_msg_t *msg, uint32_t routing_id);
ZMQ_EXPORT uint32_t zmq_msg_routing_id(zmq_msg_t *msg);

/* The group that a message is to or from; of what has none, "". */
ZMQ_EXPORT int zmq_msg_set_group(zmq_msg_t *msg, const char *group);
ZMQ_EXPORT const char *zmq_msg_group(zmq_msg_t *msg);

/* Makes a message of a copy of these bytes.
 *   ENOMEM  there is no memory for it; the message is not initialised */
ZMQ_EXPORT int zmq_msg_init_buffer(zmq_msg_t *msg, const void *buf, size_t size);

/* Names for zmq_msg_gets(). */
#define ZMQ_MSG_PROPERTY_ROUTING_ID "Routing-Id"
#define ZMQ_MSG_PROPERTY_SOCKET_TYPE "Socket-Type"
#define ZMQ_MSG_PROPERTY_USER_ID "User-Id"
#define ZMQ_MSG_PROPERTY_PEER_ADDRESS "Peer-Address"

/* The functions below exist. */
#define ZMQ_HAVE_POLLER

/* What has come of a socket or, if that is NULL, a descriptor, and what was given with it. */
typedef struct zmq_poller_event_t
{
    void *socket;
    zmq_fd_t fd;
    void *user_data;
    short events;
} zmq_poller_event_t;

/* A poller: sockets and descriptors that stay registered from wait to wait. Its end stores NULL at
 * `poller_p`; its size is how many are registered.
 *   EMFILE  there are too many objects */
ZMQ_EXPORT void *zmq_poller_new(void);
ZMQ_EXPORT int zmq_poller_destroy(void **poller_p);
ZMQ_EXPORT int zmq_poller_size(void *poller);

/* Registers a socket with what is awaited of it (ZMQ_POLLIN, ...; 0: nothing, for now), changes that,
 * and ends it.
 *   EINVAL  it is registered, or not; or the events are none that there are */
ZMQ_EXPORT int zmq_poller_add(void *poller, void *socket, void *user_data, short events);
ZMQ_EXPORT int zmq_poller_modify(void *poller, void *socket, short events);
ZMQ_EXPORT int zmq_poller_remove(void *poller, void *socket);

/* The same of a descriptor.
 *   EBADF  it is negative */
ZMQ_EXPORT int zmq_poller_add_fd(void *poller, zmq_fd_t fd, void *user_data, short events);
ZMQ_EXPORT int zmq_poller_modify_fd(void *poller, zmq_fd_t fd, short events);
ZMQ_EXPORT int zmq_poller_remove_fd(void *poller, zmq_fd_t fd);

/* Waits until something has come, for `timeout` milliseconds at most, -1: for ever. The first stores
 * one event, the second at most `n_events`, and returns how many.
 *   EAGAIN  nothing has, in that time
 *   EFAULT  there is no place for events; or nothing is awaited, for ever
 *   EINVAL  `n_events` is negative */
ZMQ_EXPORT int zmq_poller_wait(void *poller, zmq_poller_event_t *event, long timeout);
ZMQ_EXPORT int zmq_poller_wait_all(void *poller, zmq_poller_event_t *events, int n_events,
                                   long timeout);

/* Stores a descriptor that is readable when a wait may find something.
 *   EINVAL  the poller has none */
ZMQ_EXPORT int zmq_poller_fd(void *poller, zmq_fd_t *fd);

/* Whether a ROUTER could send to a peer: ZMQ_POLLOUT, or 0.
 *   ENOTSUP       the socket is not a ROUTER
 *   EHOSTUNREACH  there is no such peer */
ZMQ_EXPORT int zmq_socket_get_peer_state(void *socket, const void *routing_id,
                                         size_t routing_id_size);

/* zmq_socket_monitor() by a PAIR, PUB or PUSH, with events in a newer form, version 2: each number a
 * part of uint64_t, namely the event, how many values follow, and these; then two texts, our endpoint
 * and the peer's.
 *   EINVAL  there is no such version, type or event */
ZMQ_EXPORT int zmq_socket_monitor_versioned(void *socket, const char *endpoint, uint64_t events,
                                            int event_version, int type);
#define ZMQ_CURRENT_EVENT_VERSION 1
#define ZMQ_CURRENT_EVENT_VERSION_DRAFT 2

/* Of version 2: messages queued for a peer, and from it. They come for every peer when
 * zmq_socket_monitor_pipes_stats() asks for them.
 *   EINVAL  nobody monitors the socket
 *   EAGAIN  it has no peers */
#define ZMQ_EVENT_PIPES_STATS 0x10000
ZMQ_EXPORT int zmq_socket_monitor_pipes_stats(void *socket);
#define ZMQ_EVENT_ALL_V1 ZMQ_EVENT_ALL
#define ZMQ_EVENT_ALL_V2 (ZMQ_EVENT_ALL_V1 | ZMQ_EVENT_PIPES_STATS)

/* zmq_poll() with other signals blocked while it waits, as ppoll(2) has it; NULL: as they are. */
#ifndef _WIN32
ZMQ_EXPORT int zmq_ppoll(zmq_pollitem_t *items, int nitems, long timeout, const sigset_t *sigmask);
#else
ZMQ_EXPORT int zmq_ppoll(zmq_pollitem_t *items, int nitems, long timeout, const void *sigmask);
#endif

#endif /* ZMQ_BUILD_DRAFT_API */

#undef ZMQ_EXPORT

#ifdef __cplusplus
}
#endif

#endif /* __ZMQ_H_INCLUDED__ */
