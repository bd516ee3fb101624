/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "ingest/cgroup.h"
#include "tests/cmocka.h"

#define ID "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

static void check(const char *text, const char *container, const char *path)
{
	struct cgroup cgroup;

	cgroup_parse((struct str){text, strlen(text)}, &cgroup);
	assert_string_equal(cgroup.container, container);
	assert_string_equal(cgroup.path, path);
}

static void runtimes_are_recognized(void **state)
{
	(void)state;
	check("0::/system.slice/docker-" ID ".scope\n", ID, "/system.slice");
	check("0::/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod1_2.slice/"
	      "cri-containerd-" ID ".scope\n",
	      ID, "/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod1_2.slice");
	check("12:pids:/docker/" ID "\n11:cpu:/docker/" ID "\n", ID, "");
	check("8:memory:/job/7\n1:name=systemd:/system.slice/x.service\n", "",
	      "/system.slice/x.service");
	check("0::/ecs/task/0123456789abcdef0123456789abcdef-42\n",
	      "0123456789abcdef0123456789abcdef-42", "/ecs/task");
}

static void units_are_kept_and_logins_are_not(void **state)
{
	(void)state;
	check("0::/system.slice/nginx.service\n", "", "/system.slice/nginx.service");
	check("0::/user.slice/user-0.slice/session-3.scope\n", "", "/user.slice/user-0.slice");
	check("0::/\n", "", "");
	check("", "", "");
	check("nonsense\n:\n::\n0::/a", "", "/a");
}

static void a_long_path_loses_its_beginning(void **state)
{
	char text[400] = "0::/";
	struct cgroup cgroup;

	(void)state;
	memset(text + 4, 'p', 300);
	memcpy(text + 304, "/x.service\n", 12);
	cgroup_parse((struct str){text, strlen(text)}, &cgroup);
	assert_int_equal(strlen(cgroup.path), sizeof(cgroup.path) - 1);
	assert_string_equal(cgroup.path + strlen(cgroup.path) - 10, "/x.service");
	/* 63 digits, or 65, are no id. */
	check("0::/docker/" ID "0\n", "", "/docker/" ID "0");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(runtimes_are_recognized),
	    cmocka_unit_test(units_are_kept_and_logins_are_not),
	    cmocka_unit_test(a_long_path_loses_its_beginning),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
