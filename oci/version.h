/* SPDX-License-Identifier: Apache-2.0 */
/* The ociVersion of a configuration. */
#ifndef OCI_VERSION_H
#define OCI_VERSION_H

struct oci_version {
	unsigned major, minor, patch;
};

/* SemVer 2.0.0: MAJOR.MINOR.PATCH, then -pre-release and +build, which are checked and not used.
 * 0 or -EINVAL. */
int oci_version_parse(const char *s, struct oci_version *ret);

#endif
