/* SPDX-License-Identifier: Apache-2.0 */
/*
 * client/preload_stdio.c - libc functions that block inside libc, where the hooks on read and write
 * do not see them: streams, name look-ups, processes.  See hook.h.
 */
#include <netdb.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <syslog.h>

#include "client/hook.h"
#include "client/session.h"
#include "client/target.h"

HOOK(size_t, fread, (void *restrict p, size_t size, size_t n, FILE *restrict f), (p, size, n, f),
     ADDRESS(f))
HOOK(size_t, fwrite, (const void *restrict p, size_t size, size_t n, FILE *restrict f),
     (p, size, n, f), ADDRESS(f))
HOOK(char *, fgets, (char *restrict p, int n, FILE *restrict f), (p, n, f), ADDRESS(f))
HOOK(int, fflush, (FILE * f), (f), ADDRESS(f))
#undef fread_unlocked /* macros */
#undef fwrite_unlocked
HOOK(size_t, fread_unlocked, (void *restrict p, size_t size, size_t n, FILE *restrict f),
     (p, size, n, f), ADDRESS(f))
HOOK(size_t, fwrite_unlocked, (const void *restrict p, size_t size, size_t n, FILE *restrict f),
     (p, size, n, f), ADDRESS(f))
HOOK(char *, fgets_unlocked, (char *restrict p, int n, FILE *restrict f), (p, n, f), ADDRESS(f))
HOOK(int, fflush_unlocked, (FILE * f), (f), ADDRESS(f))
HOOK(ssize_t, getdelim, (char **restrict p, size_t *restrict n, int end, FILE *restrict f),
     (p, n, end, f), ADDRESS(f))
HOOK_AS(ssize_t, __getdelim, (char **restrict p, size_t *restrict n, int end, FILE *restrict f),
	(p, n, end, f), getdelim, ADDRESS(f), NULL)
HOOK_AS(ssize_t, getline, (char **restrict p, size_t *restrict n, FILE *restrict f), (p, n, f),
	getdelim, ADDRESS(f), NULL)
HOOK(int, fputs, (const char *restrict s, FILE *restrict f), (s, f), ADDRESS(f))
HOOK_AS(int, fputs_unlocked, (const char *restrict s, FILE *restrict f), (s, f), fputs, ADDRESS(f),
	NULL)
HOOK(int, puts, (const char *s), (s), 0)
HOOK(FILE *, fopen64, (const char *restrict path, const char *restrict mode), (path, mode), 0)
HOOK_AS(FILE *, fopen, (const char *restrict path, const char *restrict mode), (path, mode),
	fopen64, 0, NULL)

/* ---- a byte at a time: only when the buffer is at its end is there anything to wait for ---- */

#define EMPTY(f) ((f)->_IO_read_ptr >= (f)->_IO_read_end)
#define FULL(f) ((f)->_IO_write_ptr >= (f)->_IO_write_end)

#define HOOK_BYTE(name, parameters, arguments, charged, file, may_wait)                            \
	NEXT(name, int, parameters, NULL)                                                          \
	EXPORT int name parameters;                                                                \
	int name parameters                                                                        \
	{                                                                                          \
		int r;                                                                             \
                                                                                                   \
		if (!(may_wait))                                                                   \
			return find_##name() arguments;                                            \
		WAITS(charged, ADDRESS(file), r = find_##name() arguments);                        \
		return r;                                                                          \
	}

/* A line-buffered or unbuffered stream has its end where it begins, so that it counts as full. */
HOOK_BYTE(getc, (FILE * f), (f), getc, f, EMPTY(f))
HOOK_BYTE(_IO_getc, (FILE * f), (f), getc, f, EMPTY(f))
HOOK_BYTE(fgetc, (FILE * f), (f), getc, f, EMPTY(f))
HOOK_BYTE(getchar, (void), (), getc, stdin, EMPTY(stdin))
HOOK_BYTE(putc, (int c, FILE *f), (c, f), putc, f, FULL(f))
HOOK_BYTE(_IO_putc, (int c, FILE *f), (c, f), putc, f, FULL(f))
HOOK_BYTE(fputc, (int c, FILE *f), (c, f), putc, f, FULL(f))
HOOK_BYTE(putchar, (int c), (c), putc, stdout, FULL(stdout))

/* What getc_unlocked and putc_unlocked call when they come to an end. */
HOOK(int, __uflow, (FILE * f), (f), ADDRESS(f))
HOOK(int, __overflow, (FILE * f, int c), (f, c), ADDRESS(f))

/* ---- formats ---- */

HOOK(int, vfprintf, (FILE *restrict f, const char *restrict format, va_list a), (f, format, a),
     ADDRESS(f))
HOOK_AS(int, vprintf, (const char *restrict format, va_list a), (format, a), vfprintf,
	ADDRESS(stdout), NULL)
HOOK_AS(int, __vfprintf_chk, (FILE *restrict f, int flag, const char *restrict format, va_list a),
	(f, flag, format, a), vfprintf, ADDRESS(f), NULL)
HOOK_AS(int, __vprintf_chk, (int flag, const char *restrict format, va_list a), (flag, format, a),
	vfprintf, ADDRESS(stdout), NULL)
/* <stdio.h> gives scanf and its like these names. */
HOOK_AS(int, __isoc99_vfscanf, (FILE *restrict f, const char *restrict format, va_list a),
	(f, format, a), __isoc99_vfscanf, ADDRESS(f), NULL)

#define HOOK_FORMAT(name, parameters, charged, file, call)                                         \
	EXPORT int name parameters;                                                                \
	int name parameters                                                                        \
	{                                                                                          \
		va_list a;                                                                         \
		int r;                                                                             \
                                                                                                   \
		va_start(a, format);                                                               \
		WAITS(charged, ADDRESS(file), r = call);                                           \
		va_end(a);                                                                         \
		return r;                                                                          \
	}

HOOK_FORMAT(fprintf, (FILE *restrict f, const char *restrict format, ...), vfprintf, f,
	    find_vfprintf()(f, format, a))
HOOK_FORMAT(printf, (const char *restrict format, ...), vfprintf, stdout,
	    find_vfprintf()(stdout, format, a))
HOOK_FORMAT(__fprintf_chk, (FILE *restrict f, int flag, const char *restrict format, ...), vfprintf,
	    f, find___vfprintf_chk()(f, flag, format, a))
HOOK_FORMAT(__printf_chk, (int flag, const char *restrict format, ...), vfprintf, stdout,
	    find___vfprintf_chk()(stdout, flag, format, a))
HOOK_FORMAT(__isoc99_fscanf, (FILE *restrict f, const char *restrict format, ...), __isoc99_vfscanf,
	    f, find___isoc99_vfscanf()(f, format, a))
HOOK_FORMAT(__isoc99_scanf, (const char *restrict format, ...), __isoc99_vfscanf, stdin,
	    find___isoc99_vfscanf()(stdin, format, a))

/* ---- closing: the descriptor's number may be another file's afterwards ---- */

#define HOOK_CLOSE(name)                                                                           \
	NEXT(name, int, (FILE * f), NULL)                                                          \
	EXPORT int name(FILE *f);                                                                  \
	int name(FILE *f)                                                                          \
	{                                                                                          \
		int fd = f ? f->_fileno : -1, r;                                                   \
                                                                                                   \
		target_closing(fd);                                                                \
		WAITS(name, ADDRESS(f), r = find_##name()(f));                                     \
		target_forget(fd);                                                                 \
		return r;                                                                          \
	}

HOOK_CLOSE(fclose)
HOOK_CLOSE(pclose)

/* ---- names and processes ---- */

HOOK(FILE *, popen, (const char *command, const char *mode), (command, mode), 0)
HOOK(int, system, (const char *command), (command), 0)
HOOK(int, getaddrinfo,
     (const char *restrict node, const char *restrict service,
      const struct addrinfo *restrict hints, struct addrinfo **restrict r),
     (node, service, hints, r), 0)
HOOK(int, getnameinfo,
     (const struct sockaddr *restrict a, socklen_t n, char *restrict host, socklen_t host_bytes,
      char *restrict service, socklen_t service_bytes, int flags),
     (a, n, host, host_bytes, service, service_bytes, flags), 0)
HOOK(struct hostent *, gethostbyname, (const char *name), (name), 0)
HOOK(int, gethostbyname_r,
     (const char *restrict name, struct hostent *restrict e, char *restrict p, size_t n,
      struct hostent **restrict r, int *restrict error),
     (name, e, p, n, r, error), 0)
HOOK(int, gethostbyname2_r,
     (const char *restrict name, int family, struct hostent *restrict e, char *restrict p, size_t n,
      struct hostent **restrict r, int *restrict error),
     (name, family, e, p, n, r, error), 0)
HOOK(int, gethostbyaddr_r,
     (const void *restrict a, socklen_t bytes, int family, struct hostent *restrict e,
      char *restrict p, size_t n, struct hostent **restrict r, int *restrict error),
     (a, bytes, family, e, p, n, r, error), 0)

NEXT(vsyslog, void, (int priority, const char *format, va_list a), NULL)
EXPORT void vsyslog(int priority, const char *format, va_list a);
void vsyslog(int priority, const char *format, va_list a)
{
	WAITS(vsyslog, 0, find_vsyslog()(priority, format, a));
}

NEXT(__vsyslog_chk, void, (int priority, int flag, const char *format, va_list a), NULL)
EXPORT void __syslog_chk(int priority, int flag, const char *format, ...);
void __syslog_chk(int priority, int flag, const char *format, ...)
{
	va_list a;

	va_start(a, format);
	WAITS(vsyslog, 0, find___vsyslog_chk()(priority, flag, format, a));
	va_end(a);
}

EXPORT void syslog(int priority, const char *format, ...);
void syslog(int priority, const char *format, ...)
{
	va_list a;

	va_start(a, format);
	WAITS(vsyslog, 0, find_vsyslog()(priority, format, a));
	va_end(a);
}

/* What _FORTIFY_SOURCE makes of them. */
HOOK_AS(size_t, __fread_chk,
	(void *restrict p, size_t room, size_t size, size_t n, FILE *restrict f),
	(p, room, size, n, f), fread, ADDRESS(f), NULL)
HOOK_AS(size_t, __fread_unlocked_chk,
	(void *restrict p, size_t room, size_t size, size_t n, FILE *restrict f),
	(p, room, size, n, f), fread_unlocked, ADDRESS(f), NULL)
HOOK_AS(char *, __fgets_chk, (char *restrict p, size_t room, int n, FILE *restrict f),
	(p, room, n, f), fgets, ADDRESS(f), NULL)
HOOK_AS(char *, __fgets_unlocked_chk, (char *restrict p, size_t room, int n, FILE *restrict f),
	(p, room, n, f), fgets_unlocked, ADDRESS(f), NULL)
