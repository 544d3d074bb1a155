// The public header alone, compiled in each standard that users have.

#include <libmq/libmq.hpp>
