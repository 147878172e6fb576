package zoo

import (
	"gorgonia.org/gorgonia"
)

// NoGradient marks networks whose outputs Gorgonia computes rightly, but not the gradients.
const NoGradient = "no gradient"

// detection are networks that find things in images.
func detection() []Case {
	return []Case{
		{Name: "yolo_head", Build: func() *Model {
			b := start()
			const batch, anchors, classes, grid = 2, 2, 2, 3
			h := must(gorgonia.LeakyRelu(b.conv("c0", b.input("x", batch, 2, grid, grid), 4, 3, 1, 1), 0.1))
			y := b.conv("head", h, anchors*(5+classes), 1, 0, 1)
			y = transpose(reshape(y, batch, anchors, 5+classes, grid*grid), 0, 1, 3, 2)
			cells := reshape(y, batch*anchors*grid*grid, 5+classes)
			xy := sigmoid(slice(cells, nil, gorgonia.S(0, 2)))
			wh := must(gorgonia.Exp(slice(cells, nil, gorgonia.S(2, 4))))
			rest := sigmoid(slice(cells, nil, gorgonia.S(4, 5+classes)))
			return b.end(reshape(concat(1, xy, wh, rest), batch, anchors*grid*grid, 5+classes))
		}},
		{Name: "yolo_v3_tiny", Wrong: NoGradient, Build: func() *Model {
			b := start()
			h := must(gorgonia.LeakyRelu(b.norm("bn0", b.conv("c0", b.input("x", 1, 2, 4, 4), 3, 3, 1, 1)), 0.1))
			route := must(gorgonia.Upsample2D(pool(h, 2, 0, 2), 2))
			y := b.conv("head", concat(1, route, h), 2*7, 1, 0, 1)
			boxes := must(gorgonia.YOLOv3(y, []float32{4, 6, 8, 10}, []int{0, 1}, 8, 2, 0.5))
			return b.with(mean(square(had(boxes, k(1.0/64)))), boxes)
		}},
		{Name: "feature_pyramid", Build: func() *Model {
			b := start()
			low := relu(b.conv("c1", b.input("x", 2, 2, 4, 4), 3, 3, 1, 1))
			high := relu(b.conv("c2", low, 4, 3, 1, 2))
			top := b.conv("lateral2", high, 3, 1, 0, 1)
			merged := add(b.conv("lateral1", low, 3, 1, 0, 1), must(gorgonia.Upsample2D(top, 2)))
			return b.end(b.conv("box", merged, 2, 3, 1, 1), b.conv("box2", top, 2, 3, 1, 1))
		}},
		{Name: "segmentation", Build: func() *Model {
			b := start()
			h := relu(b.conv("c0", b.input("x", 2, 2, 4, 4), 3, 3, 1, 2))
			y := must(gorgonia.Upsample2D(b.conv("classes", h, 3, 1, 0, 1), 2))
			pixels := reshape(transpose(y, 0, 2, 3, 1), 2*4*4, 3)
			return b.end(softmax(pixels))
		}},
	}
}
