#include <burthen/burthen.h>
#include <stdio.h>
int main(void)
{
    printf("burthen %s (%s)\n", bur_version(), bur_build_info());
    return 0;
}
