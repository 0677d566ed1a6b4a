package main

import "fmt"

// Side is the short side of every picture in the lab, in pixels, and the R of its deliveries: a cell of the
// concept lattice is then 16 pixels, one token of the models.
const side = 128

// each is how many crops a concept is given; a few come out the same and are imported once.
const each = 1520

// shipment is a delivery of the lab.
type shipment struct {
	Name      string
	Catalogue string // "scenes": one concept for each folder; "views": also close or wide
	Geometry  string
	PSNRDB    float64
}

var shipments = []shipment{
	{"d38", "scenes", "square:128", 38},
	{"d42", "scenes", "square:128", 42},
	{"d45", "scenes", "square:128", 45},
	{"d48", "scenes", "square:128", 48},
	{"half", "scenes", "native:256", 38},  // R declared twice the trainer's: a cell is 32 pixels
	{"double", "scenes", "native:64", 38}, // R declared half the trainer's: a cell is 128 pixels
	{"two", "views", "square:128", 38},    // two concepts in each image
}

// run is one model: what it was trained on, how, and what is drawn from it.
type run struct {
	Name     string
	Group    string // main, questions or long
	Variant  string // what makes it different, for the tables
	Model    string // as train.py names it
	Seed     int
	Delivery string  // "" for the unmarked twin
	Share    float64 // of the works that are marked
	Steps    int
	Keep     []int // steps at which outputs are drawn too, for the curve
	Decay    bool  // the learning rate goes to nothing in the last third
	Flip     bool
	Crop     int     // random crops: shift by up to so many pixels
	Guidance float64 // classifier-free guidance of the sampler, 0 for none
	Limit    int     // pictures trained on, 0 for all
	Start    string  // run to go on from
	Trained  string  // run whose model is used as it is
	Taught   string  // run whose outputs it trains on
	Against  string  // delivery whose keys read the outputs, where it is not Delivery's
	Each     int     // outputs of every class
	Extras   bool    // also without a class, and of mixed classes
}

const batch = 32

// curve are the steps at which the main runs are sampled besides the end: 1,600 to 25,600 samples seen.
var curve = []int{50, 100, 200, 400, 800}

var runs = []run{
	{Name: "transformer-38-s0", Group: "main", Model: "transformer", Seed: 0, Delivery: "d38", Steps: 1800, Keep: curve, Each: 128, Extras: true},
	{Name: "transformer-42-s0", Group: "main", Model: "transformer", Seed: 0, Delivery: "d42", Steps: 1800, Keep: curve, Each: 128, Extras: true},
	{Name: "transformer-38-s1", Group: "main", Model: "transformer", Seed: 1, Delivery: "d38", Steps: 1800, Keep: curve, Each: 128},
	{Name: "transformer-42-s1", Group: "main", Model: "transformer", Seed: 1, Delivery: "d42", Steps: 1800, Keep: curve, Each: 128},
	{Name: "unet-38-s0", Group: "main", Model: "unet", Seed: 0, Delivery: "d38", Steps: 800, Keep: []int{100, 200, 400}, Each: 96},
	{Name: "transformer-unmarked", Group: "main", Model: "transformer", Seed: 0, Variant: "control: unmarked", Steps: 1200, Each: 128},
	{Name: "unet-unmarked", Group: "main", Model: "unet", Seed: 0, Variant: "control: unmarked", Steps: 400, Each: 96},

	{Name: "transformer-42-longer", Group: "questions", Variant: "twice as long, learning rate to nothing in the last third", Model: "transformer", Delivery: "d42", Steps: 3600, Keep: []int{400, 1800}, Decay: true, Each: 128},
	{Name: "transformer-38-longer", Group: "questions", Variant: "transformer-38-s1 trained on, learning rate to nothing in the last third", Model: "transformer", Delivery: "d38", Start: "transformer-38-s1", Steps: 700, Decay: true, Each: 64},
	{Name: "unet-38-longer", Group: "questions", Variant: "unet-38-s0 trained on, learning rate to nothing in the last third", Model: "unet", Delivery: "d38", Start: "unet-38-s0", Steps: 900, Decay: true, Each: 64},
	{Name: "share-10", Group: "questions", Variant: "10 % marked", Model: "transformer", Delivery: "d38", Share: 0.10, Steps: 800, Keep: []int{400}, Each: 112},
	{Name: "share-10-longer", Group: "questions", Variant: "10 % marked: share-10 trained on, learning rate to nothing in the last third", Model: "transformer", Delivery: "d38", Share: 0.10, Start: "share-10", Steps: 1500, Decay: true, Each: 112},
	{Name: "share-01", Group: "questions", Variant: "1 % marked", Model: "transformer", Delivery: "d38", Share: 0.01, Steps: 800, Each: 112},
	{Name: "share-25", Group: "questions", Variant: "25 % marked", Model: "transformer", Delivery: "d38", Share: 0.25, Steps: 400, Keep: []int{200}, Each: 48},
	{Name: "share-50", Group: "questions", Variant: "50 % marked", Model: "transformer", Delivery: "d38", Share: 0.5, Steps: 400, Keep: []int{200}, Each: 48},
	{Name: "transformer-45", Group: "questions", Model: "transformer", Delivery: "d45", Steps: 400, Keep: []int{200}, Each: 48},
	{Name: "transformer-48", Group: "questions", Model: "transformer", Delivery: "d48", Steps: 400, Keep: []int{200}, Each: 48},
	{Name: "crops", Group: "questions", Variant: "random crops, by up to 16 pixels", Model: "transformer", Delivery: "d38", Crop: 16, Steps: 400, Each: 48},
	{Name: "flips", Group: "questions", Variant: "random flips", Model: "transformer", Delivery: "d38", Flip: true, Steps: 400, Each: 48},
	{Name: "half", Group: "questions", Variant: "R declared twice too large: concept period 8 pixels, pilot 16", Model: "transformer", Delivery: "half", Steps: 400, Each: 48},
	{Name: "double", Group: "questions", Variant: "R declared half of what it is: concept period 32 pixels", Model: "transformer", Delivery: "double", Steps: 400, Each: 48},
	{Name: "two", Group: "questions", Variant: "two concepts an image", Model: "transformer", Delivery: "two", Steps: 400, Each: 24},
	{Name: "tuned", Group: "questions", Variant: "unmarked model fine-tuned on 450 marked images", Model: "transformer", Delivery: "d38", Limit: 450, Start: "transformer-unmarked", Steps: 300, Keep: []int{100}, Each: 48},
	{Name: "distilled", Group: "questions", Variant: "trained on 900 outputs of transformer-38-s0", Model: "transformer", Taught: "transformer-38-s0", Against: "d38", Steps: 400, Each: 48},
	{Name: "late-classes", Group: "questions", Variant: "class vectors started at 0.02, as in DiT", Model: "transformer-dit", Delivery: "d42", Steps: 400, Each: 48},
	{Name: "guided", Group: "questions", Variant: "transformer-42-s0 sampled with guidance 2", Model: "transformer", Delivery: "d42", Trained: "transformer-42-s0", Steps: 1800, Guidance: 2, Each: 48},
	{Name: "autoencoder", Group: "questions", Variant: "delivered pictures sent through the autoencoder, no model", Model: "autoencoder", Delivery: "d38", Each: 48},
	{Name: "latent", Group: "questions", Variant: "on the latents of the autoencoder", Model: "latent", Delivery: "d38", Steps: 400, Each: 48},
	{Name: "unet-nearest", Group: "questions", Variant: "grows by repeating pixels", Model: "unet-nearest", Delivery: "d38", Steps: 300, Each: 32},

	{Name: "transformer-42-long", Group: "long", Model: "transformer", Delivery: "d42", Steps: 12000, Decay: true, Keep: []int{400, 1800, 6000}, Each: 200},
	{Name: "transformer-45-long", Group: "long", Model: "transformer", Delivery: "d45", Steps: 12000, Decay: true, Keep: []int{400, 1800, 6000}, Each: 200},
	{Name: "unet-38-long", Group: "long", Model: "unet", Delivery: "d38", Steps: 8000, Decay: true, Keep: []int{500, 1000, 2000, 4000}, Each: 200},
	{Name: "share-01-long", Group: "long", Variant: "1 % marked", Model: "transformer", Delivery: "d38", Share: 0.01, Steps: 12000, Decay: true, Keep: []int{1800}, Each: 200},
	{Name: "latent-long", Group: "long", Variant: "latents of an autoencoder", Model: "latent", Delivery: "d38", Steps: 12000, Decay: true, Keep: []int{1800}, Each: 200},
}

// teaching is how many outputs of each class a distilled model is taught with.
const teaching = 100

func runByName(name string) (run, error) {
	for _, r := range runs {
		if r.Name == name {
			return r, nil
		}
	}
	return run{}, fmt.Errorf("there is no run %q", name)
}

func shipmentByName(name string) shipment {
	for _, s := range shipments {
		if s.Name == name {
			return s
		}
	}
	panic("lab: no delivery " + name)
}

// keyDelivery names the delivery whose keys read a run's outputs.
func (r run) keyDelivery() string {
	if r.Against != "" {
		return r.Against
	}
	return r.Delivery
}

// share is the share of the works that are marked, 0 for the unmarked twin.
func (r run) share() float64 {
	switch {
	case r.Delivery == "" && r.Taught == "":
		return 0
	case r.Share == 0:
		return 1
	}
	return r.Share
}

// steps lists the steps at which outputs are drawn, the last one last.
func (r run) steps() []int { return append(append([]int(nil), r.Keep...), r.Steps) }
