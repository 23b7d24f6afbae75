/* The arguments of this process, kept before anything else runs: glibc gives constructors what main gets. */
#include "clinux.h"

#include <stddef.h>

static char **arguments;

__attribute__((constructor)) static void keep_arguments(int count, char **values) {
  (void)count;
  arguments = values;
}
char **sw_arguments(void) { return arguments; }
