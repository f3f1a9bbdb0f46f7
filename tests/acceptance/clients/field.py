"""Sharing over GF(2^8) modulo 0x11b, byte by byte."""


def u32(number):
    return number.to_bytes(4, "big")


def product(one, two):
    result = 0
    while two:
        if two & 1:
            result ^= one
        one <<= 1
        if one & 0x100:
            one ^= 0x11B
        two >>= 1
    return result


INVERSE = {one: two for one in range(1, 256) for two in range(1, 256) if product(one, two) == 1}


def at(x, points):
    """What the polynomials of the lowest degree through these points are at `x`
    (Lagrange)."""
    result = bytes(len(points[0][1]))
    for mine, values in points:
        weight = 1
        for other, _ in points:
            if other != mine:
                weight = product(weight, product(x ^ other, INVERSE[mine ^ other]))
        result = bytes(so_far ^ product(value, weight) for so_far, value in zip(result, values))
    return result
