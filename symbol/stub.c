#include "symbol/symbol.h"
#include <errno.h>
int symbol_table_open(const void *b, size_t l, struct symbol_table **r, struct err *e){(void)b;(void)l;(void)r;(void)e;return -EINVAL;}
void symbol_table_close(struct symbol_table *t){(void)t;}
size_t symbol_table_find(const struct symbol_table *t,uint64_t a,struct symbol_frame f[SYMBOL_INLINES_MAX]){(void)t;(void)a;(void)f;return 0;}
bool symbol_table_address(const struct symbol_table *t,uint64_t a,uint64_t*r){(void)t;(void)a;(void)r;return false;}
int symbolizer_new(const struct symbolizer_options *o, struct symbolizer **r, struct err *e){(void)o;(void)e;*r=0;return 0;}
void symbolizer_free(struct symbolizer *s){(void)s;}
int symbolizer_read(struct symbolizer *s,int fd,const uint8_t*b,size_t l,struct buf*t,struct err*e){(void)s;(void)fd;(void)b;(void)l;(void)t;return err_set(e,-ENOSYS,"stub");}
int symbolizer_pid(const struct symbolizer *s){(void)s;return 0;}
