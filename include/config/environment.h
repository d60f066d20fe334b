/*
 * config/environment.h - settings out of PGSLUICE_... variables. For the config layer itself.
 */
#ifndef CONFIG_ENVIRONMENT_H
#define CONFIG_ENVIRONMENT_H

#include "config/value.h"

/* One variable that names a setting. */
struct environment_value {
	const struct setting *row;
	struct place          at;    /* "environment: PGSLUICE_X" */
	struct view           value; /* of the variable, or the contents of the file that it names */
};

/*
 * Call back for each variable that is a setting; the others whose name begins with PGSLUICE_ become errors, but for
 * those that Kubernetes and Docker set for a service of that name.
 */
typedef void environment_on_value(const struct environment_value *value, void *context);

void environment_read(char **environment, struct config_memory *memory, struct config_errors *errors,
                      environment_on_value *on_value, void *context);

#endif
