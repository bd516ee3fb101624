#include "tests/cmocka.h"
int main(void){return 0;}
