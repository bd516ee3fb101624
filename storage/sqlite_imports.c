/* SPDX-License-Identifier: Apache-2.0 */
/* Importing into the dictionaries of a file: the catalogue, and the part of each series. */
#include "storage/sqlite_store.h"

#include <errno.h>
#include <string.h>

#define KEPT_MAX ((size_t)1 << 20) /* bytes */

static int full(const struct imports *im, int rc, struct err *err)
{
	return err_set(err, rc, "storage: %s: %s", im->to->entry->name,
		       rc == -ENOMEM ? "out of memory" : "the dictionary is full");
}

int imports_again(struct imports *im, struct open_file *to, struct codec *codec,
		  const struct dict_tables *from, struct err *err)
{
	im->to = to;
	im->codec = codec;
	im->parts_count = 0;
	im->from_id = im->to_id = 0;
	int rc = dict_import_again(&im->catalogue, &to->catalogue.dict, from, true);

	return rc ? full(im, rc, err) : 0;
}

static size_t bytes_of(const struct dict_import *im)
{
	const struct dict_counts *c = &im->capacity;

	return (c->strings + c->modules + c->frames + c->nodes + c->contexts + im->path_capacity) *
	       sizeof(uint32_t);
}

void imports_trim(struct imports *im)
{
	size_t bytes = bytes_of(&im->catalogue);

	for (size_t i = 0; i < im->parts_made; i++)
		bytes += bytes_of(&im->parts[i]->import);
	if (bytes > KEPT_MAX)
		imports_release(im);
}

int imports_keep(struct imports *im, struct open_file *to, struct codec *codec,
		 const struct dict *from, struct err *err)
{
	int rc;

	if (im->from_id == from->id && im->to_id == to->catalogue.dict.id) {
		rc = dict_import_follow(&im->catalogue, &from->t);
		return rc ? full(im, rc, err) : 0;
	}
	imports_release(im);
	rc = imports_again(im, to, codec, &from->t, err);
	if (!rc) {
		im->from_id = from->id;
		im->to_id = to->catalogue.dict.id;
	}
	return rc;
}

void imports_release(struct imports *im)
{
	for (size_t i = 0; i < im->parts_made; i++) {
		dict_import_release(&im->parts[i]->import);
		free(im->parts[i]);
	}
	free(im->parts);
	dict_import_release(&im->catalogue);
	*im = (struct imports){.lately = im->lately};
}

static int part_make(struct imports *im)
{
	int rc = array_grow(&im->parts, sizeof(struct import_part *), &im->parts_capacity,
			    im->parts_made + 1);
	struct import_part *part = rc ? NULL : calloc(1, sizeof(*part));

	if (!part)
		return -ENOMEM;
	im->parts[im->parts_made++] = part;
	return 0;
}

int imports_part(struct imports *im, uint32_t series, const struct dict_tables *from,
		 struct dict_import **ret_import, struct err *err)
{
	uint32_t number = im->to->catalogue.dict.t.series[series].part;
	struct import_part *part;
	struct dict *dict;

	for (size_t i = 0; i < im->parts_count; i++)
		if (im->parts[i]->part == number) {
			*ret_import = &im->parts[i]->import;
			return dict_import_follow(*ret_import, from) ? full(im, -ENOMEM, err) : 0;
		}
	int rc = open_file_part(im->to, im->codec, series, &dict, err);

	if (rc)
		return rc;
	if (im->parts_count == im->parts_made && part_make(im))
		return full(im, -ENOMEM, err);
	part = im->parts[im->parts_count];
	rc = dict_import_again(&part->import, dict, from, false);
	part->import.lately = im->lately;
	if (rc)
		return full(im, rc, err);
	part->part = number;
	im->parts_count++;
	*ret_import = &part->import;
	return 0;
}
