/* Handles: what the harness has given names to. */
#include "runner.h"

#include <stdlib.h>
#include <string.h>

struct named {
    enum kind kind;
    char *name;
    void *handle;
    struct named *next;
};

static const char *const MEMBERS[] = {"client", "producer", "consumer", "consumer", "broker"};

static pthread_mutex_t table = PTHREAD_MUTEX_INITIALIZER;
/* The newest first. None is freed before the end: a request on another thread may be using it. */
static struct named *all;

void keep(enum kind kind, const char *name, void *handle) {
    struct named *entry = (struct named *)room(1, sizeof *entry);
    entry->kind = kind;
    entry->name = copy_of(name);
    entry->handle = handle;
    pthread_mutex_lock(&table);
    entry->next = all;
    all = entry;
    pthread_mutex_unlock(&table);
}

void *handle(enum kind kind, const cJSON *request, struct answer *answer) {
    const char *name = text(request, MEMBERS[kind]);
    const struct named *entry;
    void *found = NULL;
    pthread_mutex_lock(&table);
    for (entry = all; entry != NULL && found == NULL && name != NULL; entry = entry->next) {
        if (entry->kind == kind && strcmp(entry->name, name) == 0) {
            found = entry->handle;
        }
    }
    pthread_mutex_unlock(&table);
    if (found == NULL) {
        refuse(answer, "there is no such handle:", name);
    }
    return found;
}

void end_all(enum kind kind, void (*end)(void *handle)) {
    struct named **at = &all;
    while (*at != NULL) {
        struct named *entry = *at;
        if (entry->kind == kind) {
            *at = entry->next;
            end(entry->handle);
            free(entry->name);
            free(entry);
        } else {
            at = &entry->next;
        }
    }
}
