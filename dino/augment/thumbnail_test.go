package augment

import (
	"encoding/base64"
	"math"
	"testing"

	"github.com/godino-ml/godino/dino/dataset"
)

// pattern is a picture whose bytes another program can make: (3x² + 7y(c+1) + 5xy + 50c) mod 251.
func pattern(w, h int) *dataset.RGB {
	img := dataset.NewRGB(w, h)
	for i := range img.Pix {
		c, x, y := i%3, i/3%w, i/3/w
		img.Pix[i] = byte((x*x*3 + y*7*(c+1) + x*y*5 + c*50) % 251)
	}
	return img
}

func differ(t *testing.T, got *dataset.RGB, want string, most int) {
	t.Helper()
	w, err := base64.StdEncoding.DecodeString(want)
	if err != nil || len(w) != len(got.Pix) {
		t.Fatalf("%d bytes, want %d, %v", len(got.Pix), len(w), err)
	}
	worst, n := 0, 0
	for i := range w {
		d := int(got.Pix[i]) - int(w[i])
		worst = max(worst, d, -d)
		if d != 0 {
			n++
		}
	}
	if worst > most {
		t.Errorf("%d×%d: %d of %d bytes differ, by up to %d", got.W, got.H, n, len(w), worst)
	}
}

// TestThumbnailIsPillows compares with Image.thumbnail((size, size), LANCZOS) of Pillow 13.0 on pattern(w, h).
func TestThumbnailIsPillows(t *testing.T) {
	for _, c := range []struct {
		w, h, size, wantW, wantH int
		want                     string
	}{
		{97, 40, 20, 20, 8,
			"O3mUho98goJ0eIBxd410gXSAcn2AgXd9j2NccmyHhY6BgXl7f36Ad297eH+FjXWDeI2GboKGgnmGenR9dod3eneEdXZ0hHl5gIp5h32CeHiBhoB1coh6eXd9bnuEgIN9fYB/fnyFd4t7ioeIgoSEgn19bYuEhWhvhHp8en2Af46Ig3t2goJ/gH94h3huf3l+cH6Ch39xdXp/enp4foKDdox7gXBpiXJqeIl5enV7dnx/fX1/hXmJe4puhoiNhIKBenZ1lWNzfXNvgnqDfISEkH91g5SDenmJfoqAf3h3gnhljGqFe3qBin95h3mEbIiKe4BzhHZ8en+Kfn2Eao5vdJF1eYB7fn6GindtdpN1cnSKgHp3eXmAlHKEfIB+goV6gnN6hXF6goV6iIN8iHx6g3Z9f3mBe394h4mCc4SHhYaCd3Z8cnl2fm1tcWt7ioVwd3mMeXKBi3ZvbYN+aYCBfH2Kf3V3joSIiX2Ad32DeYh3foqKiId+cIB7e4KEfH94gn6AfIB7dYqDbIR7gYB1fX5zgXh8enWEfHV4fXh/g4B5XnmPcnx4dXeAcn5sdntzhXZ+e32FbHx0f359g31/cW+GvnFhkYF7gnF6e3Z7bIZvXIF2eWh/gG94cHCJeS5q"},
		{31, 45, 30, 21, 30,
			"AjZqDUF0JVmJSXe8dr+o0shilUJ0Yq2pqpRRPn6HYaRLX2Sip0h/g7duf7pphJRvq0WQhnyMda9XfGyDfLtXD02LI2KbRn/ZdMSFys0YkkaGSqazyJdbiHeIsZhTYGeefkCEYaZrXKRjbrNpfISAolWOi4pGgVt6npRVP3iaG2SqO4HjaMOHr8YifDuXMZq2s4tSaGSFioJPhnWUnbJ3bYxPaJFNbYhbQ6loeoeKkWuxUG51mFa9elVuhaJhJ3nXUqqEi7EfxymEK4enmYFCR0mHbnU2Y0l5iZJqn2Y5m1+WnltytHc4dJ5rZ4iZl3NibI6BpYh7Zm2kgmyVNJKxY9ERzCJ0cVfQWs02oWOXVaaZsoCPaZhiZ26fkWSRTmCeWHi1flx3p5VeXoaslYGVe69zcGiLlGh2ZotmPbdLiXdOpTOxPK6Opkt8dX6LcldiS3+lhpt8YoBnqYdjeJh0nLqYepd/hX5pa5Byk3Jpi3ibf3tZZIiQn2SeSOAoq2SSsV2pUqIvqlHGXJmKdXief4ptgGRdfGxegVlvaUlKpYuDinJqfm5mqZGJiId4oGd8oWyVZntZU8BtWaVar0C7YKldhlmUXYpZiYKDXI+fkY+JhISGepB8mnqni42KV4docqJ0c5RyiYSMm6iFZWpilHSWhn+QUkqxZ5OBwkmdQIdUvEqUbKV1UG5ye6uGiIqmnp2zU7BqfFxOg5Kmkk9gjYacfISWe4qbmmROfoaSZk5xqrZYlakvdKm6z3VbfaeGcmxyj2Z+maV4fY5mjJxlYlN1aoKUm5phoV9gdY9kUnqIfHmGdY2VmlVdjJdiX3Sookt6mj92kymtUo+BjjlzibZWaYSKZItpbpdwfmh7m3eqh6x5oG+HjrCHfHiSbVWIrnBzb45Vm2mFm75edqRbVJlIWJlFnjV8cLtaZmyvbYaJqXVuonxnc5NxcmeZn5yUmX2VhaCZpYVlYnZhXpOBe1p1Z5V8mGekpz5tiy5ajithhDN8qla+k5t7Zp9VVpe2ZplpcWhejYF7d7ucjXSfcauOqWOaT0R9cp1tcHtij0eAVpNMpnOarWWiqWChyGN8ZYZFsHlfpVSnnmyLmXd5lo+WlGVQeZKEd2mlV5WCgW2qfbuNxIJ2cZiBdVesgpp1UZtKQn2E0HedYXyiO7KUclx7X45LUZFbmHlOnZBabXd4go97eUyNxHV2U0maT6ejq3loZH+QqohQl26cV6p2QpRiRItHZ5VDYqNic2RiqnROa6CETqOJTrKKXW6ZnHRzX4qWl3lVTHyCtrSKdV1gT2KUfJ95mlljYImRZat2YpNrSplxSJqAa5iNuXB+dbl4eF18ak+BgmeekmVcpICVYlqQpIjGkoZCSpeXkZyqjodkcU+HUkm9MLF+pJF1z5J2Z6x7WYusg0xdXoNzkXODhG5TfmhKn4hprZeEVUN0yaJ4OyGBmIK3q394PVqBSnRSj8mtyaWAq4l3nYp2r5d8ZK+2Z1GYkJFebYOhVJSpi4F5ua+nbGFZhId7bVxDXZCGmaOSOisxioNur5d/oJiQhIuDiHx1gXpuiX91qp+TZXFrbGpyvKWdaXprXJF9p6ekWVZWcHx8qEhJvJeaJmhous3OrKijRFRcTVBebm5rTElIRENIS1ZjcHd1oqGgYl1bjY6MfHNtZ5WFi7C1u8jeLjlDn7jCRTxFjZumj5qlLTJCW2Jy4aeRs7+QkJuqjJOfjKCUpXxPbl1zjqCvcHqLZXCCcnx8rq9YbG6FxdiAUlt3v2eCYI2qPh4w3JSpj7e3PlqEbTtMbIN4YHKpYoGkhKmpsJBXfFx+g55ydYloZHaNZoo5ZXuOjKK22lVrUn2wR1VLr9zXQF6UcCg+poxEyb2lmtGFjKdtjbJhoIdyX2Gld7KQtHZzgJuOc5hscZ1qk2+IZoyhQGGO3mhGa7umWkpw4bFGg83JO3+tJy6IZFZdUn5QUXRRV59ihIVpYmaHcI53i2h2dpGRdH2afl+PkG2an02EWpdSS1hFpLNnLm21aS5Y0o0jmbZres6eV6eCVJl9Z6yElGGzdYd7jLdnkXduaGRyaVerdWRrlo1zSahjdFefpFGATh1/uZAjXbXKEGPBah112kJHuWIut1Uq0F5Gg3VhT1RmZGieYHVorVRzi3Rja2NadIZ2nl2weXljQqV0eoVfXkag0oBQfuNSVqCjK4DRLGLOI1PGJlrPPX2GUKGZhJRDnGdqmWiRdX+jiKyLqGpoa4d9uoeNi0K5doyNY4SHZW+84BmEoHRJgtoZbs9iXrxkXbRkf8x0oFk8vGpoc1+nZZGdhGeLr3mPY49/l2l+WqWgVphWr3mAomJxkHRkEIPtpFKv3SOMrB14pLJZsVtY0x9rtUWchFa/PZinhqZzrZhtYodtf1mIRoOLjW9SaGWZPbSUWaNypq90P2+QJpmTQnPn51m+20i07Da3h07PW2+7TZ5cSbJ/rGdodm62d2NPomdoYaNqoqOQh21RY0A1WWOmT2uqU3nBdlVh"},
		{60, 59, 16, 16, 16,
			"Gl6eeqGDkId9hohyc3d0caJoi3KCfnxzc32DeneEkGdTnDxkWYSbl5B0f3yIhGlxWpKHiXt0a3d4f3hwhnV6eoVue4WHgHGEcnuCkHt3c4uFgZBWg2KLdH+Af4mAfIdxfoNpgG6Jc4KMen51gHl8hYt4j4B8fXmAeIGDhINyeXmAbXmFcod+aHWFhniBdn+Ki3yFfnh0eZGDgIiEhnxyeoKGh4B4f35zkW9jhHiDaHl/g4N7h4Nkb36FeG5vfn5/gnGKe4h4fYVzjYiTh4V8cXJ2mHV/iGJnf3VqhXR7d36AfYGPkXhzjJ58g3uFfoaGiX97gIZ5gnp7d4WaioF/a4F0a4Rzh3WCcYN3g4WIi3V/foCBbqlxg3V/fXSFd4CAa4Byg3iBhXKFd4WBeHqHg5WAZJt1coJ3g4F8cXd/gX2EgoJedXd8dGuJfYVxhHt6jXx4h3Rtd32JfHZ2eX93i390iYGKeYaFgoSCgHd5cHx+fnh1eGNmdW57jJB8fHKBhYWJc2+AfH2GiIZ8eIaMhX53doR8dYp5h4eRgnxxdHZ5foF9b394bIOHZmJniZppgHl3gIGFfXt0cJRrd4x8gn9+eX+BdnWDbXZyb4t7jHl+iIKAfmuCqKl0aKSdenV3gntpXoqAdXJ6dHhteHR+hnN6hHeBgHyCcH1zfHuBgXGDfJBzXGaZ1zdGuWdog3GGjVSsq3V7dXeDf3uJiH6Ag3p+aoB6doWGgId2a4J8iIB0UaKHok+02zaqWniXfHx9Mq9WV4mEeX58cnOBbXt4hIeAa2JgdGmIinJ5gnGMa3pgpkqv2i+/foKdbYhvg3R/XZ+Jj3GHhIWCa4mIaZ2QY3SNbX+NeXyKdXKSj4eCeHaUXWiTmDavc4VnenGEcYWAmUCWgoZwcYJtfpCTgH6Chmh9bnyKg4J0f3N6fYJ/dn5TcLVOcn6Pinp0cnh1hn93l4tTdH6FjXBpe3WCiYZ+d4VzgIF8jImEeYCFj4mIgHeojFhigZaLjXeBfX15iYGG"},
	} {
		got := Thumbnail(pattern(c.w, c.h), c.size)
		if got.W != c.wantW || got.H != c.wantH {
			t.Errorf("%d×%d to %d: %d×%d, want %d×%d", c.w, c.h, c.size, got.W, got.H, c.wantW, c.wantH)
			continue
		}
		differ(t, got, c.want, 0)
	}
	if img := pattern(5, 9); Thumbnail(img, 9) != img {
		t.Error("a picture that fits was changed")
	}
	if got := Thumbnail(pattern(900, 2), 90); got.W != 90 || got.H != 1 {
		t.Errorf("900×2 to 90: %d×%d", got.W, got.H)
	}
}

// TestResizeLinearIsOpenCVs compares with cv2.resize of OpenCV 5.0 on pattern(w, h): no byte is off by more than 1.
func TestResizeLinearIsOpenCVs(t *testing.T) {
	for _, c := range []struct {
		w, h, toW, toH int
		want           string
	}{
		{31, 20, 26, 20,
			"ADJkBjhqE0V3KVuNR3mrbqDSntDE15pAeE6AZZfJsuQfFkh6eat4T4FNXY/B2RVHY5WclcdajL5kbqCT1htNaZvNSHpahrhyJFaIrd8uCEF6E0yFJ2CZQnu0Z6DZlM0LysRBmUZ/U4zFottF9ThxX5icY5w/PnewuCtkRHixn9hBY5x5c6x2qCVeaJPM7U1kgbpKnlWOu6syZ6DAD0+PIGCgOnq6XJzchsYtueo+tjp6Pn6+i8tr31BkQoK9qLMtslyckz5+TViYoOAqNnaLdLRVd7drZaWm2Cxsd7ceYlCQrXQyVpaOCEiIF16lLnW8TZTbdbxapew40CpxJWyzb7aOwmlVTWmwhccYvD2Ea7KUU5p7c7o7ClGUcbgwQYh0XaR8nylwaqPqI0iPmzmAQonQpDmApdQ4Hmy6O4nXYa+Ej90wxTlmCFakUJ6uoH9BWkyaX60rwxtpP42muqNbqJBJzlZva7UM2Fd5U6FPYa9xW6m42zyKhdNIfXjG0yZ0iI4pRpTKJnvQSZ6qdMkjqFRX5D6TLoPJfJIrYyyBNYpAnCFLEGW1iKg3pGNTl1dGY4PYyCZ7cJkfv3VuSJ2DlS6DbbMcMWS5tWFkaL2aJHnOyz2SLYnNVrITiGtFwSJ+KmTAU68Qp8RklGTAbMiF2WWWU6oQnDKOXVSwV02piR97MonlqzdojY1Ku6h4Uq7L3U2plPBRRaFUgFq2uht3hMhBNZjjZMcvm4Vm20OmSYvueM1DkzqdOZyQo2duRn7hkfRhIIOwrKp3rKl3HoGvjvFeQnrdnmJpMpWJjDKVb8Q6P4Hkzzeaj3laVrkhJonUPKYVcZNKrh2HS2PNR7FCng13v2yYamVDO0q0WMJd1EitaZ5Clmpvm3B0ea5S72PIfuhXbHpFpaB+SLIh4F25ojN7X8k4JI5/pFzGwjGbRLUrf6dmwjipZYNMZtdNtDmqLp/Rm52CcohZlTd8IY4IfShkT1s2W2ZCn0qGWsZB5VvMfU5kqY6QwTeoctRZTp016mDRtSuciLFvZNVLS8NAjLyB1VLKfqRzhiR72mXPWZJOXkrCTsaf0nvHZNhZxni7nrGTsC2lNHYptjirUMhFSmc/kJmFP7c04m3XsS6meUhuSsI/JJwZBX3dU7lWmR2ccG1zRcRIpUuoEpEVhMSHj4KShWWIQJRDoyumSZNMiHGLn4mij9iSIaAkt2e6W9pelIeXtzu6dOV3Ork9W4he21/euj69oialWshrpzK4g4eUXzxwxE/VOK9JcTqCNLpFvKPNfdiO5nb3XeNuQWJSX39wtHTFgg2TT6lgyFPZepGLNbtG5H4Jv0rQlB+lcX6CVtxnQ8lUYtaBtEaLl6EzeFyX5HYpXdx8nG27ZYOEVIVzj0yuM7tSpm3FkLhKtEZtSaFo3nUHikepOsdZfn+drkDNdwmWSdZoI7BCiJMl7H4Q4HIEaeWWwlumqrxVkXy+KpxXghuhx584l7tUi8RdzJApcQ+eKYhWenino6I7pD2cSNh1IYpOp0DUZYqSLMBZ544nzWYhrkfblzDEiCG1gRqucRGsh2/CO152q0s9ScJimUjUNpJxWWiUZ2KiOql1tFnvcth4yWluY5ieyp8/qUngXSiYdLRU2HgYpESheRm0V/KSPdh4LMdnI75eI75eeB+plIQrT3iYxGtkaOmQvnQbYcVsiqBHnqFIdx6U955KhmLPgr9mt16bX8yoD7FYxGs9hSzOUIOZIsRr6Z9G3IMqyG8WvWQLumEIv2YNfy2+ophGYpK5NIuLZja95JJOjTulu2mGNoONiGLfROiWz31gbH/Dp7poumgWcB7CMNmHU6BOwnAem0mzeynSZRO8WAavUgCpVgStYQ+4hzzUr61idq1iTqxhhVzqHL5zeW0iYKFWbcF2xqZbgjznUs2Cu3CKZhvLGpV/zIY7lkssZBnJOnufGcl+7K9k6p9U4pdM45hN7KFWG7JnjkrpvXl9iUWDZ8yIpYI+QuqmpGBbkk6WpGC7M7+mxYFCZlfZdMaCu3czdTGzN+mqLrl10Y1JrWklkU0JfjridDDnci7leTXsiERIn1sX"},
		{13, 9, 20, 17,
			"ADJkATNlBDZoCjxuEkR2HE6BKlyOOmyeTH6wYZPFeavcksT2r+F2zrs37zlYg0t9P3GjaJrMlMZ0teceAjZqBDhsCDxwD0N3GEyAI1eLMmaaQ3erVYm7a5+ihLiintK8vMJsyJZJukVrdF2RUISoeq6ip7RoybM2Bj11CUF5DkZ+F0+GIlqSL2eeP3evUorBZp7QfrZimNA5tOxV1ItZvVJqWlqOWX61b6ewm9JVyZRT7FVhCUWADkmFFVCMH1uWLGijO3ayTYjEYZ23d7OSkcxCrcspy7BGtWloilCLRnWxY56njrWHu6lLvXlot1CMDUyLE1KRHFuaKGemNnW1RobFWpnZcK+ciMcopOMxwbhF4UhkeVOHQ22sV5TUgL9/rbpH21ljmmCRVXe2EVSXGFueI2WoMHO2QIPGUpXQaKujgMNnmdoktrRBtIFhkkKCWGSnR4qxcbOXnaVntIVWoVaHe3iEW556FVuiHWOqKXC2OH/GS5HYXqXadbxXj9Yqqus8yXBbnUB8J1mfPn/GYaitjNI/unlStUF8TmqvXp5of8YgGGKtImy3MHrEQYvWVZ+3arR/g81Bnrw4uIxVjFZ1XU6YK3O9UJube6V1p4RLk19xdViIU4xveYZSonc8HGq4J3XDN4XTSZflX62QdsQXkd8yrp5Pxh9tRUKQGGa0P43babdolZ42wylkZEeVLXuQY7EjnGY9xhlnIHHDLH7PPY/QUqSOabtVgsoqnpBHvV1l1zSGWFiqLH6lVaZ2gH9ViVpWYz2GSGhtS39Pg2A6eE1mZECSI3nOMYbVRJnDWrA/c8IjjsI9rEdcxyZ82kmeZm+6QZaQa8AgmFFIgyJ3EVSpM4lOaocaox1TXDqIEmeuJ4DZNo+iSqRcY7wxfZc0mldRuTRxpDqTaV2zTYV6Va9Sgdo7sGxnnD+YLHPMUKpyiapAxEF7fmBsNY9UK4fkO5h9Ua4Qa8gqh3pGpQdkxymGjUypFXLJP5tPar0ol9dWtn2HoV2xRpLTbbmKobVmy2Kjk4ZfWbYXLo/wQKCJWLgec9Q5kYdXsRd31DqbnGDAJofhUbJpfqpErW9ze2emWnquV7F7io52onGMd3bLdqyJfN1CMpbORKl/X70sfL5Jm3xpuiaKwkuvj3LGN5rOZKp1k4dgwzKRW2GqM4uWa6dJjmh1ik6pRI/MbrueoNhtNp5VSbJFZbc6hGNZpT16uzaeb1zFTIarSKxld2dkp0Z82kiuc312TYRXh0thX1GZQnGxVLOAkJuIw3qYOKIRTLYlabRCiTBiqxqEvT6oQWbQJpCcUrUrgUJasyKM5lW/gIxZW4A0lhhvRESuGoS2XcdVo4l810aw"},
	} {
		differ(t, ResizeLinear(pattern(c.w, c.h), c.toW, c.toH), c.want, 1)
	}
}

// TestBilinear: a plane that is linear in x and y stays so, with half-pixel centres and the borders repeated, and a scale that is given
// moves the samples.
func TestBilinear(t *testing.T) {
	const h, w = 5, 8
	plane := make([]float32, h*w)
	for i := range plane {
		plane[i] = float32(10*(i/w) + i%w)
	}
	for _, c := range []struct {
		outH, outW int
		scale      float64
	}{{10, 16, 0}, {2, 4, 0}, {3, 5, 1 / math.Sqrt2}} {
		out := make([]float32, c.outH*c.outW)
		Bilinear(out, plane, 1, h, w, c.outH, c.outW, c.scale)
		sy, sx := float64(h)/float64(c.outH), float64(w)/float64(c.outW)
		if c.scale > 0 {
			sy, sx = 1/c.scale, 1/c.scale
		}
		for i, got := range out {
			y := min(max((float64(i/c.outW)+0.5)*sy-0.5, 0), h-1)
			x := min(max((float64(i%c.outW)+0.5)*sx-0.5, 0), w-1)
			if want := 10*y + x; !(math.Abs(float64(got)-want) <= 1e-4) {
				t.Errorf("%d×%d, scale %v, element %d: %v, want %v", c.outH, c.outW, c.scale, i, got, want)
			}
		}
	}
}
