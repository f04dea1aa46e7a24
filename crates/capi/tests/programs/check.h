/* What the programs check with. */

#ifndef CHECK_H
#define CHECK_H

#include <stdio.h>
#include <stdlib.h>
#include <zmq.h>

/* Ends the program, and says where and why, unless that is true. */
#define CHECK(true_)                                                                               \
    do {                                                                                           \
        if (!(true_)) {                                                                            \
            fprintf(stderr, "%s:%d: %s: %s\n", __FILE__, __LINE__, #true_,                         \
                    zmq_strerror(zmq_errno()));                                                    \
            exit(1);                                                                               \
        }                                                                                          \
    } while (0)

/* Ends the program unless that failed, and with this error. */
#define CHECK_FAILS(failed, error) CHECK((failed) && zmq_errno() == (error))

#endif
