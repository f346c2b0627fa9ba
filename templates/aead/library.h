/* The headers of whichever library it is; wolfSSL's want its options first. */

#if defined(__has_include)
#if __has_include(<wolfssl/options.h>)
#include <wolfssl/options.h>
#endif
#endif
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/ssl.h>
#if defined(OPENSSL_IS_AWSLC)
#include <openssl/aead.h>
#endif
