/* SPDX-License-Identifier: Apache-2.0 */
#include "server/mailbox.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

struct mailbox {
	int bell;
	struct event *event;
	pthread_mutex_t lock;
	struct mailbox_letter *first, **last;
};

static void letters_run(struct mailbox *mailbox)
{
	(void)pthread_mutex_lock(&mailbox->lock);
	struct mailbox_letter *letter = mailbox->first, *next;

	mailbox->first = NULL;
	mailbox->last = &mailbox->first;
	(void)pthread_mutex_unlock(&mailbox->lock);
	for (; letter; letter = next) {
		next = letter->next;
		letter->fn(letter->arg); /* may free the letter */
	}
}

static void bell_rang(evutil_socket_t fd, short what, void *arg)
{
	uint64_t rings;
	ssize_t n = read(fd, &rings, sizeof(rings));

	(void)n; /* Nothing to read means that another pass has run the letters. */
	(void)what;
	letters_run(arg);
}

int mailbox_new(struct event_base *base, struct mailbox **ret_mailbox, struct err *err)
{
	struct mailbox *mailbox = calloc(1, sizeof(*mailbox));

	if (!mailbox)
		return err_set(err, -ENOMEM, "mailbox: out of memory");
	mailbox->last = &mailbox->first;
	(void)pthread_mutex_init(&mailbox->lock, NULL);
	mailbox->bell = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (mailbox->bell >= 0)
		mailbox->event =
		    event_new(base, mailbox->bell, EV_READ | EV_PERSIST, bell_rang, mailbox);
	if (!mailbox->event || event_add(mailbox->event, NULL) < 0) {
		mailbox_free(mailbox);
		return err_set(err, -ENOMEM, "mailbox: no event");
	}
	*ret_mailbox = mailbox;
	return 0;
}

void mailbox_free(struct mailbox *mailbox)
{
	if (!mailbox)
		return;
	letters_run(mailbox);
	if (mailbox->event)
		event_free(mailbox->event);
	if (mailbox->bell >= 0)
		(void)close(mailbox->bell);
	(void)pthread_mutex_destroy(&mailbox->lock);
	free(mailbox);
}

void mailbox_wait(struct mailbox *mailbox, int timeout_ms)
{
	struct pollfd bell = {.fd = mailbox->bell, .events = POLLIN};

	(void)poll(&bell, 1, timeout_ms);
	bell_rang(mailbox->bell, EV_READ, mailbox);
}

void mailbox_post(struct mailbox *mailbox, struct mailbox_letter *letter, mailbox_fn fn, void *arg)
{
	const uint64_t one = 1;

	*letter = (struct mailbox_letter){.fn = fn, .arg = arg};
	(void)pthread_mutex_lock(&mailbox->lock);
	*mailbox->last = letter;
	mailbox->last = &letter->next;
	(void)pthread_mutex_unlock(&mailbox->lock);
	ssize_t n = write(mailbox->bell, &one, sizeof(one));

	(void)n; /* A full counter rings already. */
}
