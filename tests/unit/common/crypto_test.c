/* SPDX-License-Identifier: Apache-2.0 */
#include "common/crypto.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "common/mem.h"
#include "common/str.h"

static const char *hex_of(const uint8_t digest[VG_SHA256_SIZE])
{
    static char text[VG_SHA256_HEX_SIZE];
    vg_hex_encode(text, digest, VG_SHA256_SIZE);
    return text;
}

/* FIPS 180-4 examples. */
static const struct {
    const char *text, *hex;
} sha_vectors[] = {
    {"", "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"},
    {"abc", "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"},
    {"abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq",
     "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1"},
};

static void sha256__matches_the_vectors(void **state)
{
    (void)state;
    for (size_t i = 0; i < VG_COUNT(sha_vectors); i++) {
        uint8_t digest[VG_SHA256_SIZE];
        vg_sha256(digest, sha_vectors[i].text, strlen(sha_vectors[i].text));
        assert_string_equal(hex_of(digest), sha_vectors[i].hex);
    }
}

static void sha256__piecewise_is_the_same(void **state)
{
    (void)state;
    struct vg_sha256 *sha = vg_sha256_new();
    char block[1000], hex[VG_SHA256_HEX_SIZE];
    memset(block, 'a', sizeof block);
    for (int i = 0; i < 1000; i++)
        vg_sha256_update(sha, block, sizeof block);
    vg_sha256_hex(sha, hex);
    assert_string_equal(hex, "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0");
    assert_null(vg_sha256_free(sha));
    assert_null(vg_sha256_free(NULL));
}

/* RFC 4231 test cases 1, 2, 6 and the empty key. */
static void hmac__matches_rfc_4231(void **state)
{
    (void)state;
    char key[131];
    uint8_t mac[VG_SHA256_SIZE];
    memset(key, 0x0b, 20);
    vg_hmac_sha256(mac, (struct vg_view){key, 20}, VG_VIEW("Hi There"));
    assert_string_equal(hex_of(mac),
                        "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7");
    vg_hmac_sha256(mac, VG_VIEW("Jefe"), VG_VIEW("what do ya want for nothing?"));
    assert_string_equal(hex_of(mac),
                        "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843");
    memset(key, 0xaa, sizeof key);
    vg_hmac_sha256(mac, (struct vg_view){key, sizeof key},
                   VG_VIEW("Test Using Larger Than Block-Size Key - Hash Key First"));
    assert_string_equal(hex_of(mac),
                        "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54");
    vg_hmac_sha256(mac, VG_VIEW(""), VG_VIEW(""));
    assert_string_equal(hex_of(mac),
                        "b613679a0814d9ec772f95d778c35fc5ff1697c493715653c6c712144292c5ad");
}

static void webhook__matches_the_standard_vector(void **state)
{
    (void)state;
    char signature[48];
    vg_webhook_sign(signature, "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
                    "msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, VG_VIEW("{\"test\": 2432232314}"));
    assert_string_equal(signature, "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
}

static void webhook__other_secrets_are_raw_bytes(void **state)
{
    (void)state;
    static const char *const secrets[] = {"your-secret", "whsec_not base64!", "whsec_A"};
    for (size_t i = 0; i < VG_COUNT(secrets); i++) {
        char signature[48], expected[48] = "v1,";
        uint8_t mac[VG_SHA256_SIZE];
        vg_hmac_sha256(mac, vg_view_of(secrets[i]), VG_VIEW("evt_1.1700000000.{}"));
        vg_base64_encode(expected + 3, mac, sizeof mac);
        vg_webhook_sign(signature, secrets[i], "evt_1", 1700000000, VG_VIEW("{}"));
        assert_string_equal(signature, expected);
    }
}

/* RFC 8032, section 7.1, test 3. */
static void ed25519__matches_the_rfc(void **state)
{
    (void)state;
    static const uint8_t key[VG_ED25519_KEY_SIZE] = {
        0xfc, 0x51, 0xcd, 0x8e, 0x62, 0x18, 0xa1, 0xa3, 0x8d, 0xa4, 0x7e,
        0xd0, 0x02, 0x30, 0xf0, 0x58, 0x08, 0x16, 0xed, 0x13, 0xba, 0x33,
        0x03, 0xac, 0x5d, 0xeb, 0x91, 0x15, 0x48, 0x90, 0x80, 0x25};
    uint8_t signature[VG_ED25519_SIGNATURE_SIZE] = {
        0x62, 0x91, 0xd6, 0x57, 0xde, 0xec, 0x24, 0x02, 0x48, 0x27, 0xe6, 0x9c, 0x3a,
        0xbe, 0x01, 0xa3, 0x0c, 0xe5, 0x48, 0xa2, 0x84, 0x74, 0x3a, 0x44, 0x5e, 0x36,
        0x80, 0xd7, 0xdb, 0x5a, 0xc3, 0xac, 0x18, 0xff, 0x9b, 0x53, 0x8d, 0x16, 0xf2,
        0x90, 0xae, 0x67, 0xf7, 0x60, 0x98, 0x4d, 0xc6, 0x59, 0x4a, 0x7c, 0x15, 0xe9,
        0x71, 0x6e, 0xd2, 0x8d, 0xc0, 0x27, 0xbe, 0xce, 0xea, 0x1e, 0xc4, 0x0a};
    assert_true(vg_ed25519_verify(key, signature, VG_VIEW("\xaf\x82")));
    assert_false(vg_ed25519_verify(key, signature, VG_VIEW("\xaf\x83")));
    assert_false(vg_ed25519_verify(key, signature, VG_VIEW("")));
    signature[63] ^= 0x20;
    assert_false(vg_ed25519_verify(key, signature, VG_VIEW("\xaf\x82")));
}

/* Made for this test. Both forms of one key; the signature is OpenSSL's command line's. */
static const char *const rsa_keys[] = {
    "-----BEGIN PRIVATE KEY-----\n"
    "MIIEvAIBADANBgkqhkiG9w0BAQEFAASCBKYwggSiAgEAAoIBAQC6i+st9dv5dPnx\n"
    "SpQ+genVUgiCnJ/eZeAWwqYf1gUq+h9s/6ehxBVjH4qVBcWaZUUygUPWJdmBx7SI\n"
    "Iy0nsa/D4CWPclpPJgYpYVE6jv2IaaktVwArgs8IXF3RK6rJovnZKNDlJ1y4APHM\n"
    "64twkjvha+mWOrU1g20XPbFK7wJxksSGFB5ZqaBRR1P0gq/wzCYeDJ5SMubwo4O9\n"
    "Jn3MLJyPsuD8dqeyFmE50LSykFkoq5sPFFcmTAuJGj0fcaDtp0tfd1LTZLn1N2Wd\n"
    "OoSnWUrB4+fQ4DScHsxVEzfIblHDmN6zreZEDkV8WH0XmOC9ZcykIarHcST4FGMW\n"
    "CJ9k04C5AgMBAAECggEACq99FzLgGNf0gTfOag4zAL8kMacbGTgor+UScvxla2LM\n"
    "bgfu6Ds9JmJmI8ci3Ic0gYIaCqg8X0y7MJkjOwTYlpW+UQsx1RrOe4xRhNMv/qJe\n"
    "yHQVVGi3xzjTPuoLbGVjfmbyIE4y529WanCLmjUmLPFrfel6+8e9dflYsHwkXbD7\n"
    "SanJeIhWQyg7x5VtGzr4iQJ412ZrXnAhzIKKzM3rDZ8NLeXFmkVQpuUO+8/7Pq5c\n"
    "MGgQ56SEddhd4cgDedbQ27++xkQOmCCdDk2Mh4PAA+ejxrSzwO3DKIXV1N6spOvW\n"
    "XUDTWkXajHXjwJOazJooz2DbqC8BphdO4sWg09IaCQKBgQD3nFYs3GS5X9LWxWBX\n"
    "xkaNzEpwVd6hXiSA26TqHwZMPNVZpMXdT85rWFPMOdGxexJ3GFb9+bfZ2CuZoSsQ\n"
    "Z+51LNE+PrYngee7JaHCfbrJXUpXecSq3LmZ6KQ5NL1Cupx9+Fzfu8hMrwHXnOkq\n"
    "ijr0aboETb1hai2GY9sZyabyrwKBgQDA3fB3Q5cW/Hf4oKm7AKVAwnuKdyDv/6P0\n"
    "ygYxYqIG+nqXx994I53SZ9mGE52TuGZYSNPmOBMqB1h+haXQXKY9ipPntVu52pxf\n"
    "HluZlTXKqCKnxoD6s7Luno550s4Bj25yY0PkFnGPWlVnhwFQcL/R/F78vOVrpUuW\n"
    "CqiSMQA9FwKBgAowk9dKxpZeXCXcf4d9MGAbfSC8V+oaHrRy1YmQ90hh5IHI5x+h\n"
    "biQ6wVARPRDpuKvQA5x2D1vWqoyq9kO5kzWdP4spN4POs8Oe29ZOKEarISkSaMaD\n"
    "SNwNl9yG0BcT6ObCNsg6SRbmyNOfsHTAtYZjZ3VP4bBFl1QFffnEs6sfAoGAD5Xf\n"
    "yMN9gi4Ew+K31JTIxeLxeM8Hql1OMong1jzSOx4iqgFM3biDGG2r9lm/ciCEpL29\n"
    "4ezGH69YR2EldSEHjhGUwjS1pN81o7ogTNjx796GbmhsI9ZBr2bAvLd8TkP4+OVs\n"
    "pxHpO1xhamxOfuGdnqp2QpZBM+G3qfhShv3OtyECgYA8XgzqkH1gHAqJVQr0AjH5\n"
    "FA1eaj6TGL+3DOPseNROA28f8EfT+4V0d5kDCoz0gandSeJ8Z5EC63C1q+Hj+Jk2\n"
    "Lj0JkxutkoRhyIAtQ9I1oPGEM960SprvpeUX2Za+47GPkkcXzRhQPcAt7zaIGCNM\n"
    "ecuLirduWSTqpmgUFZQQDw==\n"
    "-----END PRIVATE KEY-----\n",
    "-----BEGIN RSA PRIVATE KEY-----\n"
    "MIIEogIBAAKCAQEAuovrLfXb+XT58UqUPoHp1VIIgpyf3mXgFsKmH9YFKvofbP+n\n"
    "ocQVYx+KlQXFmmVFMoFD1iXZgce0iCMtJ7Gvw+Alj3JaTyYGKWFROo79iGmpLVcA\n"
    "K4LPCFxd0SuqyaL52SjQ5SdcuADxzOuLcJI74Wvpljq1NYNtFz2xSu8CcZLEhhQe\n"
    "WamgUUdT9IKv8MwmHgyeUjLm8KODvSZ9zCycj7Lg/HanshZhOdC0spBZKKubDxRX\n"
    "JkwLiRo9H3Gg7adLX3dS02S59TdlnTqEp1lKwePn0OA0nB7MVRM3yG5Rw5jes63m\n"
    "RA5FfFh9F5jgvWXMpCGqx3Ek+BRjFgifZNOAuQIDAQABAoIBAAqvfRcy4BjX9IE3\n"
    "zmoOMwC/JDGnGxk4KK/lEnL8ZWtizG4H7ug7PSZiZiPHItyHNIGCGgqoPF9MuzCZ\n"
    "IzsE2JaVvlELMdUaznuMUYTTL/6iXsh0FVRot8c40z7qC2xlY35m8iBOMudvVmpw\n"
    "i5o1Jizxa33pevvHvXX5WLB8JF2w+0mpyXiIVkMoO8eVbRs6+IkCeNdma15wIcyC\n"
    "iszN6w2fDS3lxZpFUKblDvvP+z6uXDBoEOekhHXYXeHIA3nW0Nu/vsZEDpggnQ5N\n"
    "jIeDwAPno8a0s8DtwyiF1dTerKTr1l1A01pF2ox148CTmsyaKM9g26gvAaYXTuLF\n"
    "oNPSGgkCgYEA95xWLNxkuV/S1sVgV8ZGjcxKcFXeoV4kgNuk6h8GTDzVWaTF3U/O\n"
    "a1hTzDnRsXsSdxhW/fm32dgrmaErEGfudSzRPj62J4HnuyWhwn26yV1KV3nEqty5\n"
    "meikOTS9Qrqcffhc37vITK8B15zpKoo69Gm6BE29YWothmPbGcmm8q8CgYEAwN3w\n"
    "d0OXFvx3+KCpuwClQMJ7incg7/+j9MoGMWKiBvp6l8ffeCOd0mfZhhOdk7hmWEjT\n"
    "5jgTKgdYfoWl0FymPYqT57VbudqcXx5bmZU1yqgip8aA+rOy7p6OedLOAY9ucmND\n"
    "5BZxj1pVZ4cBUHC/0fxe/Lzla6VLlgqokjEAPRcCgYAKMJPXSsaWXlwl3H+HfTBg\n"
    "G30gvFfqGh60ctWJkPdIYeSByOcfoW4kOsFQET0Q6bir0AOcdg9b1qqMqvZDuZM1\n"
    "nT+LKTeDzrPDntvWTihGqyEpEmjGg0jcDZfchtAXE+jmwjbIOkkW5sjTn7B0wLWG\n"
    "Y2d1T+GwRZdUBX35xLOrHwKBgA+V38jDfYIuBMPit9SUyMXi8XjPB6pdTjKJ4NY8\n"
    "0jseIqoBTN24gxhtq/ZZv3IghKS9veHsxh+vWEdhJXUhB44RlMI0taTfNaO6IEzY\n"
    "8e/ehm5obCPWQa9mwLy3fE5D+PjlbKcR6TtcYWpsTn7hnZ6qdkKWQTPht6n4Uob9\n"
    "zrchAoGAPF4M6pB9YBwKiVUK9AIx+RQNXmo+kxi/twzj7HjUTgNvH/BH0/uFdHeZ\n"
    "AwqM9IGp3UnifGeRAutwtavh4/iZNi49CZMbrZKEYciALUPSNaDxhDPetEqa76Xl\n"
    "F9mWvuOxj5JHF80YUD3ALe82iBgjTHnLi4q3blkk6qZoFBWUEA8=\n"
    "-----END RSA PRIVATE KEY-----\n",
};
static const char rs256_signature[] =
    "RjfqCdy+SefaIwxkpMwaELB5+eiJNcO6GzPePYYoB/FuNcHlWdeNkFUM3FUuxAGu9q7CP0qzlW2v"
    "aszN99JPkBGwpdocn/a45T/c8JPt3sWFP6SbAcO2lwmnDcLjCFskgof2IsCtnOtKKpFKLo+D8BZD"
    "YZe7+fcmO41dadq1u/vzQ9b12lPgywhDAFGnUn1pZ1pwNP1Q+WfRkvSIUNyD7xjLeCWCbXSX9LaJ"
    "JC3u38R8pEENFytWTmlRc0Rj+2Gi+AB6Ptr81EKvmvVwWTbk4aVoy0R+AHv3i1bwyPW79x6Soi96"
    "FPX9Tz55Qgzy8sXhe8gOOGryyzEI1n5DCDnbww==";
/* Encrypted, too short, not RSA. */
static const char *const bad_keys[] = {
    "-----BEGIN ENCRYPTED PRIVATE KEY-----\n"
    "MIIFLTBXBgkqhkiG9w0BBQ0wSjApBgkqhkiG9w0BBQwwHAQIXNiDqbBKOoICAggA\n"
    "MAwGCCqGSIb3DQIJBQAwHQYJYIZIAWUDBAECBBCp7SfAXr6HDhUR0NW9yjRyBIIE\n"
    "0HDd3qMC+v1yy9KFx5QyMs+DmH7tGYECh4+Q+qjqM9liwmLnvJbK6nd37VOTT/ku\n"
    "fftJUeBN6jKaZdoNJ50bRVQy+CjeenGIYgM1USMdzYa5NY3PBFV+T+HSqppvgNCO\n"
    "lfeP8fNgNw3shJVtVeQjliOhQyfHZpoOUNAhNjNfZ6jIOosRGGb0Z3+Jk7zxWi7O\n"
    "HXc5CFqM7IuvnKl08ArGuOXfzyfVnmDnTjJgOmGLfdjZaQDTLs7b+tujZZxAAUEy\n"
    "z3MvseO9Cf/tmv9PDYMwZhv4XQprC69zz+r41JOuZo0VoFsGuG+qYrxlfEHRoGa9\n"
    "eP6uQjIF/fGpa+gQ+qz2JWVRzr34zMXaNdEZWSUqOawbxtXIWBHEhCdFL4R98VX2\n"
    "y5ZZ+yBZBCncpD+lsF34vAXFmJZxDTE8EaGhztWCszChbou5XGTLsPjqGYEfoto/\n"
    "+vs7nb2sSHvn0NQyY6xCv/SBCu7sc2b4UAAuVcjCDzQnkZndRFHP/dxESTgS3G0j\n"
    "Hq3wBm6eXw9zF9GLmPJtBUFZtfsBm64p91u7FdIg/WoIuZSdjuSEotErVQTCtDA0\n"
    "MfAd/t9QNCCsgXFfRtMR8C8Fb37Qx6BcERbHazQO0+zAZb3I9/mlJ2S2VQ/Tk1G6\n"
    "sIr+8OkCLf2jmN4RMKpJtSTfxVbdquqLL49CYE9OgGCAyxsGzfF2PnOCPrjFMyNi\n"
    "RVt4+zPyMhdSka4+pKW1EbsQtMFQHq1aN5G11lIhcJ6HlFigXVYKn1qpftGqPlOu\n"
    "6h02h7GE7Y2hD0lIg/0DXckZPUSPjvGUz9AYLpJRImlw2OPA7C15amwJ32heFsO4\n"
    "ip813g6+Y5Na/jSSxrUcebNFvPl3m4oXTRjEJTOh0oF+XgcxsB3IcbGjDyGnEQKB\n"
    "hnNyjICRAoYYsGnHxS3zOJxll2mztEa6NxiVzyAZGVsd+qEaJr13lUaVDHAMf8G2\n"
    "1Y+a2WqR7P5+xGPb7u+cib74yGwW8B7a7d1p6sfOKLw1vLQA8MJa0Ez4eyiLMaoy\n"
    "Jk5NA+Z7MkB12gt0HSjaLKP2xi6hWxa9GuAKWDBV7+NTWNwfk5y0QkjfId2ANruw\n"
    "mtuE6SOPS38owNPjhqV8MuMaTdS8DO268tvJPXK/T7gK9SVqNU1qesz5/zr4OR01\n"
    "m2IuSEJvFPCQjNpVk4uLA02TxCN8Swclju7skvNJaRkesL6yNHGOGyEMEJTw+PLL\n"
    "0x2LdHhoXKhoynVbBgma2GYZDVQB4mYRoxV2qxnCEyPm8CnyFCKYbpT0T4lZ7LEH\n"
    "yoabGgZ7JJ1tr+YE7bNdeKeY8oxY+krrzE32QC9HEs4vHDGfwN/hdRJl4ZxUOaJW\n"
    "eJHSVMf/EGmRS/j+A3eRqDRbJZ+dXASSnX3fSNMH5Z+XTrUfGkk0BjqSgeZ8bxob\n"
    "rb0ySfsbdf5kYI9odVcA1ZsW8Q3FYuI5SY6yFJ1MdWrfFAD7QQseLT11T8UYlbdv\n"
    "yyGpILCiODyrfXn05/aYGPPLHCBk524qCgsAFLYR+9EQTTslttMLhOzaN19z+0C0\n"
    "uFXPuy/Ra061LsJ4srEpr9JvvMjz+ebkTBhYaahlQFVuuPKsWb+lz/XBV+rHns+K\n"
    "qZjjsNAcZU2DhmmsMyiKQw/CM4KRDd6J2/4nM20oU/bq\n"
    "-----END ENCRYPTED PRIVATE KEY-----\n",
    "-----BEGIN PRIVATE KEY-----\n"
    "MIICeAIBADANBgkqhkiG9w0BAQEFAASCAmIwggJeAgEAAoGBAMNCTtLS6YdoO/Pu\n"
    "LYKkBGVnYmMUiSaEsasEtivDLJzM8WJ8r8PGELqYalq8BITRn/9xrDUclSlxxgPQ\n"
    "A0WR9qMYmuPVxh4l8oFg2vfpMBER/zMt67UE3C2bczHHhbawzKxxxqmbrQAH8YqS\n"
    "4lyYvnBiPenk/Wl4LDHC17USbUw5AgMBAAECgYEAh2sZV8XHCI4V5lstXQl7swg8\n"
    "iBLZ+8jTn5Qo87js2+KXFoL7M3/OYlsKh9sWFzd7C6I+mKc2HAQ4HLTLUBinP8VE\n"
    "xQTokdkmrS0gKSVt2N281MgyV+vHh0ZYWDB+/CqwmUr8R3bP1HWp7QvC5XcgGxQD\n"
    "8Ml94Pmg+RgES0H3o8ECQQD+QvyeHpSzXHBisNePPqSPZN8Zmh/Cvfoe2MAy5RBH\n"
    "BuAlwxgLnWTf3o0V5bG48nk9mVzMakTBS/Rw6oEVKZtdAkEAxJgNu6T5vwwsl6BY\n"
    "3kkeCwfOc9kBehVxS+WtWJG1nGoDkETMr0SZWIVsb3J9FVcGsAluw3d8cjIeOVyj\n"
    "C7wCjQJBAJx8f9uVOLHXL7gd3N1lkYRLcd/g8rE5mUoI3umz/zunqKa1FwR2/1Gl\n"
    "ODIE50fLvADEdc+9i8lnxO8F9SIgNGUCQHfnEUEn7pah8zSLPIheae9qVHV9nhP6\n"
    "rf4PV/lT7UM3uXKtM3WWTjyaK7eRSU7RpCeLqT2YS5NOk/aCVIMcqSUCQQD4Oo3f\n"
    "kllHdPc1A+NeRRdJwr5GoF/gpKLfUOQV6NweP8szdicK6M4a7P6EqiOaB9pZB6Qf\n"
    "NixhAohWMUhbvd6I\n"
    "-----END PRIVATE KEY-----\n",
    "-----BEGIN EC PRIVATE KEY-----\n"
    "MHcCAQEEIOuF4XerDiEPJv4o2+Q+zv056gFMj9k3Smfwt7kbe7gtoAoGCCqGSM49\n"
    "AwEHoUQDQgAEQBclgDfBVedh06zVZqM53DqqJzb4xQK5eVmg+s4EdmhAXZG2q2Qo\n"
    "hNX0brFM5M/XCBgyaf8ty4U8ZAaB55qmdg==\n"
    "-----END EC PRIVATE KEY-----\n",
};

static void rs256__signs_as_openssl_does(void **state)
{
    (void)state;
    for (size_t i = 0; i < VG_COUNT(rsa_keys); i++) {
        struct vg_rsa_key *key;
        struct vg_buf out;
        char text[512];
        vg_buf_init(&out, 1000);
        assert_int_equal(vg_rsa_key_load(&key, vg_view_of(rsa_keys[i])), 0);
        assert_int_equal(vg_rs256_sign(key, VG_VIEW("header.claims"), &out), 0);
        assert_int_equal(out.len, 256);
        vg_base64_encode(text, out.data, out.len);
        assert_string_equal(text, rs256_signature);
        vg_buf_fini(&out);
        vg_buf_init(&out, 255);
        assert_int_equal(vg_rs256_sign(key, VG_VIEW("header.claims"), &out), -1);
        vg_buf_fini(&out);
        assert_null(vg_rsa_key_free(key));
    }
    assert_null(vg_rsa_key_free(NULL));
}

static void rs256__refuses_other_keys(void **state)
{
    (void)state;
    struct vg_rsa_key *key = NULL;
    for (size_t i = 0; i < VG_COUNT(bad_keys); i++)
        assert_int_equal(vg_rsa_key_load(&key, vg_view_of(bad_keys[i])), -1);
    assert_int_equal(vg_rsa_key_load(&key, VG_VIEW("")), -1);
    assert_int_equal(vg_rsa_key_load(&key, VG_VIEW("-----BEGIN PRIVATE KEY-----")), -1);
    assert_null(key);
}

static void equal_ct__tells_apart(void **state)
{
    (void)state;
    assert_true(vg_equal_ct("abcd", "abcd", 4));
    assert_false(vg_equal_ct("abcd", "abce", 4));
    assert_true(vg_equal_ct("abcd", "abce", 3));
}

static void seal__opens_again(void **state)
{
    (void)state;
    static const char *const plains[] = {"", "s", "a longer secret of more than one block of AES"};
    uint8_t key[32];
    vg_sha256(key, "key", 3);
    for (size_t i = 0; i < VG_COUNT(plains); i++) {
        struct vg_buf sealed, again, plain;
        vg_buf_init(&sealed, 1000);
        vg_buf_init(&again, 1000);
        vg_buf_init(&plain, 1000);
        assert_int_equal(vg_seal(&sealed, key, VG_VIEW("row"), vg_view_of(plains[i])), 0);
        assert_int_equal(vg_seal(&again, key, VG_VIEW("row"), vg_view_of(plains[i])), 0);
        assert_int_equal(sealed.len, 12 + strlen(plains[i]) + 16);
        assert_false(vg_view_eq(vg_buf_view(&sealed), vg_buf_view(&again))); /* fresh nonce */
        assert_int_equal(vg_unseal(&plain, key, VG_VIEW("row"), vg_buf_view(&sealed)), 0);
        assert_string_equal(vg_buf_view(&plain).data, plains[i]);
        vg_buf_fini(&sealed);
        vg_buf_fini(&again);
        vg_buf_fini(&plain);
    }
}

static void seal__every_flipped_bit_is_noticed(void **state)
{
    (void)state;
    uint8_t key[32];
    struct vg_buf sealed, plain;
    vg_sha256(key, "key", 3);
    vg_buf_init(&sealed, 1000);
    vg_buf_init(&plain, 1000);
    assert_int_equal(vg_seal(&sealed, key, VG_VIEW("row"), VG_VIEW("secret")), 0);
    for (size_t bit = 0; bit < sealed.len * 8; bit++) {
        sealed.data[bit / 8] = (char)(sealed.data[bit / 8] ^ (1 << bit % 8));
        assert_int_equal(vg_unseal(&plain, key, VG_VIEW("row"), vg_buf_view(&sealed)), -1);
        assert_int_equal(plain.len, 0);
        sealed.data[bit / 8] = (char)(sealed.data[bit / 8] ^ (1 << bit % 8));
    }
    struct vg_view all = vg_buf_view(&sealed);
    for (size_t len = 0; len < all.len; len++)
        assert_int_equal(vg_unseal(&plain, key, VG_VIEW("row"), (struct vg_view){all.data, len}),
                         -1);
    assert_int_equal(vg_unseal(&plain, key, VG_VIEW("other"), all), -1);
    key[0] ^= 1;
    assert_int_equal(vg_unseal(&plain, key, VG_VIEW("row"), all), -1);
    key[0] ^= 1;
    assert_int_equal(vg_unseal(&plain, key, VG_VIEW("row"), all), 0);
    vg_buf_fini(&sealed);
    vg_buf_fini(&plain);
}

static void seal__without_room_changes_nothing(void **state)
{
    (void)state;
    uint8_t key[32] = {0};
    struct vg_buf small;
    vg_buf_init(&small, 30);
    assert_int_equal(vg_seal(&small, key, VG_VIEW(""), VG_VIEW("12345")), -1);
    assert_int_equal(small.len, 0);
    vg_buf_fini(&small);
}

/* Test case 3 of RFC 5869: neither salt nor info; the first 32 of its 42 bytes. */
static void hkdf__matches_rfc_5869(void **state)
{
    (void)state;
    uint8_t secret[22], out[VG_SHA256_SIZE];
    char hex[VG_SHA256_HEX_SIZE];
    memset(secret, 0x0b, sizeof secret);
    vg_hkdf_sha256(out, (struct vg_view){(const char *)secret, sizeof secret}, VG_VIEW(""));
    vg_hex_encode(hex, out, sizeof out);
    assert_string_equal(hex, "8da4e775a563c18f715f802a063c5a31b8a11f5c5ee1879ec3454e5f3c738d2d");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sha256__matches_the_vectors),
        cmocka_unit_test(sha256__piecewise_is_the_same),
        cmocka_unit_test(hmac__matches_rfc_4231),
        cmocka_unit_test(webhook__matches_the_standard_vector),
        cmocka_unit_test(webhook__other_secrets_are_raw_bytes),
        cmocka_unit_test(ed25519__matches_the_rfc),
        cmocka_unit_test(rs256__signs_as_openssl_does),
        cmocka_unit_test(rs256__refuses_other_keys),
        cmocka_unit_test(hkdf__matches_rfc_5869),
        cmocka_unit_test(equal_ct__tells_apart),
        cmocka_unit_test(seal__opens_again),
        cmocka_unit_test(seal__every_flipped_bit_is_noticed),
        cmocka_unit_test(seal__without_room_changes_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
