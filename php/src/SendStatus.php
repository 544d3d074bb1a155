<?php

/** SendStatus: how safely the broker holds a message that it took. */

declare(strict_types=1);

namespace LibMq;

/** How safely the broker holds a message that it took. */
enum SendStatus: int
{
    /** As the broker was set to hold it. */
    case Ok = 0;
    /** Stored, but not on the disk within the broker's time limit. */
    case FlushDiskTimeout = 1;
    /** Stored, but the copy at the other broker was not done within the broker's time limit. */
    case FlushSlaveTimeout = 2;
    /** Stored, but there is no other broker to copy it to. */
    case SlaveNotAvailable = 3;
}
