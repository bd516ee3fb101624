/* SPDX-License-Identifier: Apache-2.0 */
#include "client/module.h"

#include <dlfcn.h>
#include <elf.h>
#include <link.h>
#include <string.h>
#include <sys/auxv.h>
#include <unistd.h>

#include "client/session.h"

#define MODULES_MAX 1023
#define HASHED_BYTES 4096

/* What a handler keeps beside each entry of the shared table. */
struct known {
	uint64_t start, end;
	const void *map; /* struct link_map of the file; another one means another file */
	struct unwind_module view;
};

static struct {
	struct known known[MODULES_MAX];
	uint64_t biases[MODULES_MAX + 1];
	uint32_t count;  /* valid entries */
	uint32_t adding; /* taken by the one that adds */
	char main_path[RING_PATH_MAX];
	uint64_t vdso_start, vdso_end;
} table;

const uint64_t *module_biases(void)
{
	return table.biases;
}

void module_start(void)
{
	ssize_t n = readlink("/proc/self/exe", table.main_path, sizeof(table.main_path) - 1);
	const ElfW(Ehdr) *vdso = (const ElfW(Ehdr) *)getauxval(AT_SYSINFO_EHDR);

	table.main_path[n > 0 ? n : 0] = 0;
	if (!vdso)
		return;
	table.vdso_start = (uint64_t)(uintptr_t)vdso;
	for (unsigned i = 0; i < vdso->e_phnum; i++) {
		const ElfW(Phdr) *ph = (const ElfW(Phdr) *)(table.vdso_start + vdso->e_phoff) + i;

		if (ph->p_type == PT_LOAD)
			table.vdso_end = table.vdso_start + ph->p_offset + ph->p_memsz;
	}
}

void module_table_open(void)
{
	store(&table.count, 0);
	table.adding = 0;
}

static void copy_path(char to[RING_PATH_MAX], const char *from)
{
	size_t n = strlen(from);

	if (n >= RING_PATH_MAX) {
		from += n - (RING_PATH_MAX - 1);
		n = RING_PATH_MAX - 1;
	}
	memcpy(to, from, n);
	to[n] = 0;
}

/* Everything that the ELF header in memory says about a module. */
struct image {
	uint64_t start, end, bias;
	const ElfW(Phdr) * ph;
	unsigned phnum;
	bool inside_file; /* segments lie at bias + p_vaddr */
};

static bool image_open(struct image *image, uint64_t start, uint64_t end, uint64_t bias)
{
	const ElfW(Ehdr) *eh = (const ElfW(Ehdr) *)(uintptr_t)start;

	if (end - start < sizeof(*eh) || memcmp(eh->e_ident, ELFMAG, SELFMAG) ||
	    eh->e_ident[EI_CLASS] != ELFCLASS64 || eh->e_phentsize != sizeof(ElfW(Phdr)) ||
	    eh->e_phoff > RING_PAGE || eh->e_phnum > 64 ||
	    eh->e_phoff + eh->e_phnum * sizeof(ElfW(Phdr)) > RING_PAGE)
		return false;
	*image = (struct image){start,       end,
				bias,        (const ElfW(Phdr) *)(uintptr_t)(start + eh->e_phoff),
				eh->e_phnum, true};
	return true;
}

static bool in_image(const struct image *image, uint64_t lo, uint64_t bytes)
{
	return lo >= image->start && lo <= image->end && bytes <= image->end - lo;
}

/* The readable segment that holds `address`. */
static bool segment_of(const struct image *image, uint64_t address, uint64_t *ret_lo,
		       uint64_t *ret_hi)
{
	for (unsigned i = 0; i < image->phnum; i++) {
		const ElfW(Phdr) *ph = &image->ph[i];
		uint64_t lo = image->bias + ph->p_vaddr;

		if (ph->p_type == PT_LOAD && ph->p_flags & PF_R &&
		    in_image(image, lo, ph->p_memsz) && address - lo < ph->p_memsz) {
			*ret_lo = lo;
			*ret_hi = lo + ph->p_memsz;
			return true;
		}
	}
	return false;
}

static void view_sections(const struct image *image, uint64_t pc, struct unwind_module *view)
{
	struct cfi_memory *m = &view->section.memory;

	bool code = false;

	for (unsigned i = 0; i < image->phnum && !code; i++)
		code = image->ph[i].p_type == PT_LOAD && image->ph[i].p_flags & PF_X &&
		       pc - image->bias - image->ph[i].p_vaddr < image->ph[i].p_memsz;
	/* First met by the address of an object: its code is the first there is. */
	for (unsigned i = 0; i < image->phnum && !code; i++)
		if (image->ph[i].p_type == PT_LOAD && image->ph[i].p_flags & PF_X) {
			pc = image->bias + image->ph[i].p_vaddr;
			break;
		}
	(void)segment_of(image, pc, &view->text_lo, &view->text_hi);
	for (unsigned i = 0; i < image->phnum; i++) {
		uint64_t header = image->bias + image->ph[i].p_vaddr;

		if (image->ph[i].p_type == PT_GNU_EH_FRAME &&
		    segment_of(image, header, &m->lo, &m->hi))
			view->section.header = header;
	}
}

static bool note_build_id(const struct image *image, const ElfW(Phdr) * ph, struct ring_module *out)
{
	uint64_t at = image->bias + ph->p_vaddr, left = ph->p_memsz, lo, hi;

	if (!segment_of(image, at, &lo, &hi) || left > hi - at)
		return false;
	while (left >= sizeof(ElfW(Nhdr))) {
		const ElfW(Nhdr) *note = (const ElfW(Nhdr) *)(uintptr_t)at;
		const char *name = (const char *)(note + 1);
		uint64_t name_bytes = (note->n_namesz + 3u) & ~UINT64_C(3),
			 bytes =
			     sizeof(*note) + name_bytes + ((note->n_descsz + 3u) & ~UINT64_C(3));

		if (bytes > left)
			return false;
		if (note->n_type == NT_GNU_BUILD_ID && note->n_namesz == 4 &&
		    !memcmp(name, "GNU", 4) && note->n_descsz > 0 &&
		    note->n_descsz <= RING_BUILD_ID_MAX) {
			memcpy(out->build_id, name + name_bytes, note->n_descsz);
			out->build_id_len = note->n_descsz;
			return true;
		}
		at += bytes;
		left -= bytes;
	}
	return false;
}

/* FNV-1a, twice: sixteen bytes that tell files apart which carry no build id. */
static void hash_text(const struct unwind_module *view, struct ring_module *out)
{
	uint64_t h[2] = {UINT64_C(0xcbf29ce484222325), UINT64_C(0x84222325cbf29ce4)};
	uint64_t bytes = view->text_hi - view->text_lo;
	const unsigned char *p = (const unsigned char *)(uintptr_t)view->text_lo;

	for (uint64_t i = 0; i < bytes && i < HASHED_BYTES; i++) {
		h[0] = (h[0] ^ p[i]) * UINT64_C(0x100000001b3);
		h[1] = (h[1] ^ p[i] ^ (h[0] >> 56)) * UINT64_C(0x100000001b3);
	}
	memcpy(out->build_id, h, sizeof(h));
	out->build_id_len = sizeof(h);
	out->flags |= RING_MODULE_BUILD_ID_HASH;
}

static void fill_build_id(const struct image *image, const struct unwind_module *view,
			  struct ring_module *out)
{
	for (unsigned i = 0; i < image->phnum; i++)
		if (image->ph[i].p_type == PT_NOTE && note_build_id(image, &image->ph[i], out))
			return;
	hash_text(view, out);
}

/* Where a pc's module is mapped. */
struct found {
	uint64_t start, end, bias;
	const struct link_map *map; /* NULL: the vDSO */
};

static bool look_up(uint64_t pc, struct found *ret)
{
	struct dl_find_object o;

	if (pc >= table.vdso_start && pc < table.vdso_end) {
		const ElfW(Ehdr) *eh = (const ElfW(Ehdr) *)(uintptr_t)table.vdso_start;
		const ElfW(Phdr) *ph = (const ElfW(Phdr) *)(table.vdso_start + eh->e_phoff);

		*ret = (struct found){table.vdso_start, table.vdso_end, table.vdso_start, NULL};
		for (unsigned i = 0; i < eh->e_phnum; i++)
			if (ph[i].p_type == PT_LOAD)
				ret->bias = table.vdso_start + ph[i].p_offset - ph[i].p_vaddr;
		return true;
	}
	if (_dl_find_object((void *)(uintptr_t)pc, &o))
		return false;
	*ret = (struct found){(uint64_t)(uintptr_t)o.dlfo_map_start,
			      (uint64_t)(uintptr_t)o.dlfo_map_end,
			      o.dlfo_link_map ? o.dlfo_link_map->l_addr : 0, o.dlfo_link_map};
	return true;
}

static void describe(const struct found *f, struct ring_module *out)
{
	out->start = f->start;
	out->end = f->end;
	out->bias = f->bias;
	if (!f->map) {
		out->flags = RING_MODULE_VDSO;
		copy_path(out->path, "[vdso]");
	} else if (!f->map->l_name || !f->map->l_name[0]) {
		out->flags = RING_MODULE_MAIN;
		copy_path(out->path, table.main_path);
	} else {
		copy_path(out->path, f->map->l_name);
	}
}

/* Append to both tables; the entry becomes visible with the counter.  Call with `adding` taken. */
static const struct known *append(const struct found *f, uint64_t pc)
{
	uint32_t n = load(&table.count);
	struct known *k = &table.known[n];
	struct ring_module *out = &session.modules[n];
	struct image image;

	if (n >= session.modules_max || n >= MODULES_MAX) {
		drop(RING_CPU, RING_DROP_MODULES);
		return NULL;
	}
	*k = (struct known){.start = f->start, .end = f->end, .map = f->map};
	k->view.bias = f->bias;
	k->view.number = n + 1;
	memset(out, 0, sizeof(*out));
	describe(f, out);
	if (image_open(&image, f->start, f->end, f->bias)) {
		view_sections(&image, pc, &k->view);
		fill_build_id(&image, &k->view, out);
	}
	table.biases[n + 1] = f->bias;
	store_release(&table.count, n + 1);
	store_release(&session.counters->modules, n + 1);
	return k;
}

static const struct known *recall(const struct found *f)
{
	/* The newest first: a later file may have taken an earlier one's place. */
	for (uint32_t i = load_acquire(&table.count); i-- > 0;)
		if (table.known[i].start == f->start)
			return table.known[i].end == f->end && table.known[i].map == f->map
				   ? &table.known[i]
				   : NULL;
	return NULL;
}

bool module_find(const struct unwind_space *space, uint64_t pc, struct unwind_module *ret)
{
	struct found f;
	const struct known *k;

	(void)space;
	if (!look_up(pc, &f)) {
		store(&session.unknown_code, 1);
		return false;
	}
	k = recall(&f);
	if (!k && try_take(&table.adding)) {
		k = recall(&f);
		if (!k)
			k = append(&f, pc);
		give_back(&table.adding);
	}
	if (!k) {
		/* The table is full, or another thread is adding to it: an address without a
		 * name. */
		struct image image;

		*ret = (struct unwind_module){.bias = f.bias};
		if (image_open(&image, f.start, f.end, f.bias))
			view_sections(&image, pc, ret);
		return true;
	}
	*ret = k->view;
	return true;
}

uint64_t module_frame(uint64_t address)
{
	struct unwind_module m;

	if (!module_find(NULL, address, &m) || !m.number)
		return ring_frame(0, address);
	return ring_frame(m.number, address - m.bias);
}

void module_check_unloaded(struct rule *rules)
{
	uint32_t count = load_acquire(&table.count);

	for (uint32_t i = 0; i < count; i++) {
		struct known *k = &table.known[i];
		struct dl_find_object o;
		const void *map = load(&k->map);

		if (!map)
			continue;
		if (!_dl_find_object((void *)(uintptr_t)k->start, &o) &&
		    (const void *)o.dlfo_link_map == map)
			continue;
		/* Its place may be taken by a file with other rules. */
		store(&k->map, NULL);
		k->end = 0;
		unwind_forget(rules);
	}
}
